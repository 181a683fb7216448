import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const dist = dirname(require.resolve("sql.js/dist/sql-wasm.wasm"));

/** The names of the imported functions that the wasm called, in order. */
export type Trace = readonly string[];

type ImportedFunction = (...args: unknown[]) => unknown;

interface TracedSqlJs {
  readonly Database: new (data: Uint8Array) => { exec(sql: string): unknown; close(): void };
}

// Reaches every file syscall that SQLite makes: journals by deletion and truncation, WAL, a temporary file on disk.
const workload = [
  "PRAGMA journal_mode=DELETE; CREATE TABLE t (a); INSERT INTO t VALUES (1)",
  "PRAGMA journal_mode=TRUNCATE; INSERT INTO t VALUES (2)",
  "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; INSERT INTO t VALUES (3)",
  "PRAGMA wal_checkpoint(TRUNCATE); VACUUM; ATTACH '/tmp/x' AS x; CREATE TABLE x.t (a)",
  "INSERT INTO x.t VALUES (1); DETACH x; PRAGMA temp_store=FILE; PRAGMA temp.cache_size=2",
  `CREATE TEMP TABLE big AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300)
     SELECT x, printf('%0900d', x) AS text FROM c`,
];

/** Runs the workload on one of sql.js's builds, on its own files in memory. */
export async function traceImports(build: "sql-wasm" | "sql-wasm-debug"): Promise<Trace> {
  const trace: string[] = [];
  const module = new WebAssembly.Module(readFileSync(join(dist, `${build}.wasm`)));
  const initialise = freshGlue(build);
  const sqlJs = await initialise({
    instantiateWasm(imports: WebAssembly.Imports, onInstance: (i: WebAssembly.Instance) => void) {
      WebAssembly.instantiate(module, traced(imports, trace)).then(onInstance, (error: unknown) => {
        throw error;
      });
      return {};
    },
  });
  const database = new sqlJs.Database(new Uint8Array(0));
  for (const sql of workload) database.exec(sql);
  database.close();
  return trace;
}

// Importing the glue would give the one instance of this process; each build needs its own.
function freshGlue(build: string): (options: object) => Promise<TracedSqlJs> {
  const source = readFileSync(join(dist, `${build}.js`), "utf8");
  // eslint-disable-next-line no-new-func, typescript/no-implied-eval -- the package's own file, run a second time
  const evaluate = new Function(
    "require",
    "process",
    "__dirname",
    "__filename",
    "exports",
    "module",
    `${source}; return initSqlJs;`,
  );
  return evaluate(require, process, dist, join(dist, `${build}.js`), undefined, undefined);
}

function traced(imports: WebAssembly.Imports, trace: string[]): WebAssembly.Imports {
  const result: Record<string, WebAssembly.ModuleImports> = {};
  for (const [module, functions] of Object.entries(imports)) {
    const wrapped: WebAssembly.ModuleImports = {};
    for (const [name, imported] of Object.entries(functions)) {
      wrapped[name] =
        typeof imported === "function"
          ? (...args: unknown[]) => {
              trace.push(name.replace("__syscall_", ""));
              return (imported as ImportedFunction)(...args);
            }
          : imported;
    }
    result[module] = wrapped;
  }
  return result;
}
