/**
 * Everything a device keeps, damaged one place at a time: `npm run test:damage [-- --only sealed --stride 1 --list]`.
 * `--only` takes rows whose name holds the text and leaves the files out, `--list` names every case that was not harmless.
 */
import { parseArgs } from "node:util";
import { loadEngines } from "#tests/support/world.ts";
import { countByVerdict, isFailure, verdicts, type Finding, type Verdict } from "./case.ts";
import { countSilentCuts, runFileCases } from "./file-cases.ts";
import { runKeyCases } from "./key-cases.ts";
import { Patient } from "./patient.ts";
import { listRowCases, runRowCase } from "./row-cases.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    stride: { type: "string", default: "1" },
    list: { type: "boolean", default: false },
  },
});

const engines = await loadEngines();
let hasFailed = false;
let cases = 0;
const failing = ["lost", "wrong", "bricked"] as const;
const failed = { lost: 0, wrong: 0, bricked: 0 };
let controlLosses = 0;
if (values.only === undefined) {
  report("wrong keys", runKeyCases({ engine: engines.sqlite, cuts: 200 }));
  damageFiles(Number(values.stride));
}
await damageRows(values.only ?? "");
console.log(
  `${cases} cases; ${failed.lost} lost, ${failed.wrong} corrupted unnoticed, ${failed.bricked} bricked; the controls lost ${controlLosses}`,
);
process.exitCode = hasFailed ? 1 : 0;

function damageFiles(stride: number): void {
  let believedInClear = 0;
  for (const encrypted of [true, false]) {
    const options = {
      engine: engines.sqlite,
      encrypted,
      settledSteps: 40,
      loggedSteps: 12,
      stride,
    };
    const findings = runFileCases(options);
    report(encrypted ? "files, encrypted" : "files, in clear", findings);
    const control = countSilentCuts(options);
    console.log(
      `  control, without a look at the log: ${control} times commits were undone in silence`,
    );
    controlLosses += control;
    if (control === 0) hasFailed = true;
    if (!encrypted) believedInClear = countByVerdict(findings).believed ?? 0;
  }
  console.log(`  control, without encryption: ${believedInClear} times other values were believed`);
  if (believedInClear === 0) hasFailed = true;
}

async function damageRows(only: string): Promise<void> {
  const patient = await Patient.admit(engines);
  const findings: Finding[] = [];
  for (const damage of listRowCases(engines, patient.contents)) {
    if (damage.name.includes(only)) findings.push(await runRowCase(patient, damage));
  }
  await patient.world.end();
  report("rows of a store in clear, seen from a device", findings);
}

function report(title: string, findings: readonly Finding[]): void {
  console.log(`${title}: ${findings.length} cases`);
  for (const verdict of failing) failed[verdict] += countByVerdict(findings)[verdict] ?? 0;
  cases += findings.length;
  for (const [verdict, count] of Object.entries(countByVerdict(findings))) {
    console.log(`  ${String(count).padStart(5)} ${verdicts[verdict as Verdict]}`); // its keys are verdicts
  }
  for (const finding of findings) {
    const { name, verdict, detail } = finding;
    if (isFailure(finding)) hasFailed = true;
    const isWorthALine = isFailure(finding) || (values.list && verdict !== "harmless");
    if (isWorthALine)
      console.log(`  ${verdict}: ${name}: ${detail.split("\n").slice(0, 4).join(" ")}`);
  }
}
