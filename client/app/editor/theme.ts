import type { Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { StyleModule } from "style-mod";

/**
 * Lets CodeMirror style a page whose Content-Security-Policy forbids `<style>` elements: its rules go
 * into a constructed style sheet. Call once, before the first editor is made.
 */
export function adoptEditorStyles(page: Document = document): void {
  const mount = StyleModule.mount.bind(StyleModule);
  // style-mod uses constructed sheets for shadow roots only, and of a root it uses just these members.
  const root = {
    ownerDocument: page,
    get adoptedStyleSheets() {
      return page.adoptedStyleSheets;
    },
    set adoptedStyleSheets(sheets) {
      page.adoptedStyleSheets = sheets;
    },
  } as unknown as ShadowRoot;
  StyleModule.mount = (target, modules, options) =>
    mount(target === page ? root : target, modules, options);
}

// Equal lightness and chroma, so that nobody's caret is louder than another's.
const peerHues = [25, 60, 105, 150, 200, 250, 295, 340];

const peerColours = Object.fromEntries(
  peerHues.map((hue, index) => [
    `.cm-peer-${index}`,
    { "--peer": `var(--peer-${index}, oklch(0.55 0.15 ${hue}))` },
  ]),
);

/**
 * The page's look, from the page's own custom properties: `--ink`, `--paper`, `--muted`, `--accent`,
 * `--hairline`, `--wash` (behind code), `--selection`, `--font-reading`, `--font-mono`, `--peer-0`…`--peer-7`.
 */
export const editorTheme: Extension = EditorView.theme({
  "&": {
    color: "var(--ink, #1d211e)",
    backgroundColor: "transparent",
    fontFamily: "var(--font-reading, ui-serif, Georgia, serif)",
    fontSize: "var(--text-reading, 17px)",
    lineHeight: "var(--leading-reading, 28px)",
  },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "inherit", lineHeight: "inherit", overflowX: "hidden" },
  ".cm-content": { padding: "0", caretColor: "var(--ink, #1d211e)", overflowWrap: "anywhere" },
  ".cm-line": { padding: "0" },
  ".cm-placeholder": { color: "var(--muted, #5d665f)" },
  ".cm-cursor": { borderLeft: "2px solid var(--ink, #1d211e)", marginLeft: "-1px" },
  "& .cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground":
    { backgroundColor: "var(--selection, oklch(0.75 0.1 150 / 0.35))" },

  ".cm-mark": { color: "var(--muted, #5d665f)", fontWeight: "400" },
  ".cm-heading": { fontWeight: "600" },
  ".cm-heading-1": { fontSize: "24px", lineHeight: "32px", paddingTop: "16px" },
  ".cm-heading-2": { fontSize: "21px", lineHeight: "28px", paddingTop: "12px" },
  ".cm-heading-3": { fontSize: "18px", lineHeight: "28px", paddingTop: "8px" },
  ".cm-heading-4, .cm-heading-5, .cm-heading-6": { paddingTop: "4px" },
  ".cm-strong": { fontWeight: "650" },
  ".cm-emphasis": { fontStyle: "italic" },
  ".cm-strike": { textDecoration: "line-through" },
  ".cm-task-done": { color: "var(--muted, #5d665f)", textDecoration: "line-through" },
  ".cm-link": {
    color: "var(--accent, #2f6b3c)",
    textDecoration: "underline",
    textDecorationThickness: "1px",
    textUnderlineOffset: "3px",
  },
  ".cm-inline-code": {
    fontFamily: "var(--font-mono, ui-monospace, monospace)",
    fontSize: "0.88em",
    backgroundColor: "var(--wash, oklch(0.5 0 0 / 0.07))",
    borderRadius: "4px",
    padding: "1px 3px",
  },
  ".cm-code-line": {
    fontFamily: "var(--font-mono, ui-monospace, monospace)",
    fontSize: "0.85em",
    lineHeight: "24px",
    backgroundColor: "var(--wash, oklch(0.5 0 0 / 0.07))",
    padding: "0 12px",
  },
  ".cm-code-line .cm-inline-code": { background: "none", padding: "0", fontSize: "inherit" },
  ".cm-code-first": { borderRadius: "8px 8px 0 0", paddingTop: "4px" },
  ".cm-code-last": { borderRadius: "0 0 8px 8px", paddingBottom: "4px" },
  ".cm-code-first.cm-code-last": { borderRadius: "8px" },
  ".cm-table-line": {
    fontFamily: "var(--font-mono, ui-monospace, monospace)",
    fontSize: "0.85em",
  },
  ".cm-quote": {
    borderLeft: "2px solid var(--hairline, #d5d9d3)",
    paddingLeft: "14px",
    color: "var(--muted, #5d665f)",
  },
  ".cm-bullet": { color: "var(--muted, #5d665f)" },
  ".cm-rule": {
    display: "inline-block",
    width: "100%",
    height: "0",
    verticalAlign: "middle",
    borderTop: "1px solid var(--hairline, #d5d9d3)",
  },
  ".cm-task-box": {
    width: "18px",
    height: "18px",
    margin: "0 4px 0 0",
    verticalAlign: "-3px",
    accentColor: "var(--accent, #2f6b3c)",
    cursor: "pointer",
  },
  // Easier to hit by touch, without moving the text.
  "@media (pointer: coarse)": { ".cm-task-box": { width: "24px", height: "24px" } },

  ...peerColours,
  ".cm-peer-selection": { backgroundColor: "color-mix(in oklch, var(--peer) 22%, transparent)" },
  ".cm-found": { borderRadius: "3px", backgroundColor: "var(--found, oklch(0.9 0.09 95))" },
  ".cm-peer-caret": {
    position: "relative",
    display: "inline",
    borderLeft: "2px solid var(--peer)",
    marginLeft: "-1px",
    marginRight: "-1px",
  },
  ".cm-peer-name": {
    position: "absolute",
    bottom: "100%",
    left: "-2px",
    padding: "0 5px",
    borderRadius: "4px 4px 4px 0",
    backgroundColor: "var(--peer)",
    color: "var(--paper, #fff)",
    font: "600 12px/18px var(--font-interface, system-ui, sans-serif)",
    whiteSpace: "nowrap",
    pointerEvents: "none",
    opacity: "0",
    zIndex: "2",
    // The element is made anew whenever its owner moves: so the name shows for two seconds after.
    animation: "cm-peer-name 2s step-end",
  },
  ".cm-peer-caret:hover .cm-peer-name": { opacity: "1" },
  "@keyframes cm-peer-name": { from: { opacity: "1" }, to: { opacity: "0" } },
});
