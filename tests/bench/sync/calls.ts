/** Typed calls to an object in a process of its own. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** What is called from outside: its methods alone, each answering later. */
export type Remote<Served> = {
  readonly [Name in keyof Served]: Served[Name] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never;
};

interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

export interface ServedProcess<Served> {
  readonly calls: Remote<Served>;
  /** Ends it, whatever it does. */
  end(): Promise<void>;
}

/** Starts `file`, which calls {@link serve}. A call is rejected when the process fails before its answer. */
export function startServed<Served>(
  file: URL,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): ServedProcess<Served> {
  const child: ChildProcess = fork(file, args, {
    execArgv: ["--import", "tsx", ...profiling()],
    env: { ...process.env, ...environment },
    serialization: "advanced",
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  let lastId = 0;
  child.on("message", (answer: Answer) => {
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ("error" in answer) call?.reject(new Error(answer.error));
    else call?.resolve(answer.value);
  });
  let isDismissed = false;
  child.on("exit", () => {
    // Whoever ends it waits for no answer any more.
    if (isDismissed) return;
    for (const { reject } of waiting.values()) reject(new Error("the process has ended"));
  });
  const call = (method: string, callArgs: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      lastId += 1;
      waiting.set(lastId, { resolve, reject });
      child.send({ id: lastId, method, args: callArgs } satisfies Call);
    });
  // A property of the proxy is a method of what is served: both ends are checked against one type.
  const calls = new Proxy({} as Remote<Served>, {
    get: (_, method) =>
      method === "then" ? undefined : (...callArgs: unknown[]) => call(String(method), callArgs),
  });
  return {
    calls,
    async end() {
      isDismissed = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      // A profile is written by a process that ends by itself.
      if (profiling().length > 0) child.disconnect();
      else child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Answers the calls of the parent process; ends with it. */
export function serve(served: object): void {
  const methods = served as Record<string, (...args: unknown[]) => unknown>; // the caller's type names them
  process.on("message", ({ id, method, args }: Call) => {
    void (async () => {
      try {
        const value = await methods[method]?.(...args);
        process.send?.({ id, value } satisfies Answer);
      } catch (error) {
        const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
        process.send?.({ id, error: told } satisfies Answer);
      }
    })();
  });
  process.on("disconnect", () => process.exit());
}

/** SEALEAF_BENCH_PROFILES names a folder for the processor profiles of all processes. */
function profiling(): string[] {
  const folder = process.env["SEALEAF_BENCH_PROFILES"];
  return folder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${folder}`];
}
