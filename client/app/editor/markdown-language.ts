import {
  Language,
  LanguageSupport,
  defineLanguageFacet,
  languageDataProp,
} from "@codemirror/language";
import { GFM, parser } from "@lezer/markdown";

const data = defineLanguageFacet({ closeBrackets: { brackets: ["(", "[", "{", "'", '"', "`"] } });

// Not @codemirror/lang-markdown: it brings the grammars of HTML, CSS and JavaScript (67 kB compressed).
const language = new Language(
  data,
  parser.configure([GFM, { props: [languageDataProp.add({ Document: data })] }]),
  [],
  "markdown",
);

/** CommonMark with tables, tasks, strikethrough and bare links. */
export const markdownLanguage = new LanguageSupport(language);
