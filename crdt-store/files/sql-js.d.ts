/** The part of sql.js that is used here; the package ships no types. */
declare module "sql.js" {
  export interface SqlJsStatement {
    bind(values: readonly (string | number | Uint8Array | null)[]): boolean;
    step(): boolean;
    /** The current row; blobs are copies. */
    get(): (string | number | Uint8Array | null)[];
    getColumnNames(): string[];
    reset(): void;
    free(): boolean;
  }

  export interface SqlJsDatabase {
    exec(sql: string): unknown[];
    prepare(sql: string): SqlJsStatement;
    getRowsModified(): number;
    close(): void;
  }

  export interface SqlJs {
    readonly Database: new (data: Uint8Array) => SqlJsDatabase;
  }

  /** Keeps one instance per realm: every later call answers the first one's promise and ignores its options. */
  export default function initSqlJs(options: {
    instantiateWasm(
      imports: WebAssembly.Imports,
      onInstance: (instance: WebAssembly.Instance) => void,
    ): Record<string, never>;
  }): Promise<SqlJs>;
}
