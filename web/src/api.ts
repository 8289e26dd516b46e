// The AWS API of the origin that served this page: Timestream's two halves.
import { sign, type Keys } from "./sigv4";

export interface Type {
  ScalarType?: string;
  ArrayColumnInfo?: Column;
  RowColumnInfo?: Column[];
  TimeSeriesMeasureValueColumnInfo?: Column;
}
export interface Column {
  Name?: string;
  Type: Type;
}
export interface Datum {
  ScalarValue?: string;
  NullValue?: boolean;
  ArrayValue?: Datum[];
  RowValue?: { Data: Datum[] };
  TimeSeriesValue?: { Time: string; Value: Datum }[];
}
export interface Page {
  QueryId: string;
  NextToken?: string;
  Rows: { Data: Datum[] }[];
  ColumnInfo: Column[];
  QueryStatus?: { CumulativeBytesScanned?: number };
}
export interface Database {
  DatabaseName: string;
  TableCount: number;
}
export interface Table {
  DatabaseName: string;
  TableName: string;
  RetentionProperties?: { MemoryStoreRetentionPeriodInHours: number; MagneticStoreRetentionPeriodInDays: number };
}

/** Refused is an exception of the API, by its name without a namespace. */
export class Refused extends Error {
  constructor(readonly kind: string, message: string) {
    super(message);
  }
  /** The caller has no keys that the server knows. */
  get unknownCaller() {
    return ["UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredTokenException", "IncompleteSignatureException"].includes(this.kind);
  }
}

const stored = "weir.keys";
const anyone: Keys = { id: "console", secret: "console" }; // where requests are not verified any keys do

export function keys(): Keys | undefined {
  const text = sessionStorage.getItem(stored);
  return text ? JSON.parse(text) : undefined;
}
export function keep(k: Keys | undefined) {
  if (k) sessionStorage.setItem(stored, JSON.stringify(k));
  else sessionStorage.removeItem(stored);
}

export async function call<T>(operation: string, input: object, signal?: AbortSignal): Promise<T> {
  const body = JSON.stringify(input);
  const headers = { "content-type": "application/x-amz-json-1.0", "x-amz-target": "Timestream_20181101." + operation };
  const answer = await fetch("/", {
    method: "POST", body, signal, credentials: "omit", cache: "no-store",
    headers: sign(keys() ?? anyone, "timestream", "us-east-1", location.host, body, headers, new Date()),
  });
  const text = await answer.text();
  let out: any;
  try {
    out = JSON.parse(text);
  } catch {
    throw new Refused("Unreadable", `the server answered ${answer.status} without JSON`);
  }
  if (!answer.ok) throw new Refused(String(out.__type ?? answer.status).split("#").pop()!, out.message ?? out.Message ?? text);
  return out;
}

/** page asks for the first page of a query, or the one after token; it skips pages without rows. */
export async function page(text: string, token: string | undefined, rows: number, signal: AbortSignal): Promise<Page> {
  for (;;) {
    const p: Page = await call("Query", { QueryString: text, NextToken: token, MaxRows: rows }, signal);
    if (p.Rows.length > 0 || !p.NextToken) return p;
    token = p.NextToken;
  }
}

async function all<T>(operation: string, field: string, input: object): Promise<T[]> {
  const list: T[] = [];
  let token: string | undefined;
  do {
    const out: any = await call(operation, { ...input, NextToken: token });
    list.push(...out[field]);
    token = out.NextToken;
  } while (token && list.length < 2000);
  return list;
}

export const databases = () => all<Database>("ListDatabases", "Databases", {});
export const tables = (db: string) => all<Table>("ListTables", "Tables", { DatabaseName: db });
