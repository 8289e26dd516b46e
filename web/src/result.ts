// Results as text and files.
import type { Column, Datum } from "./api";

/** plain is a value as JSON would hold it; numbers that a double cannot hold stay text. */
export function plain(d: Datum): unknown {
  if (d.NullValue) return null;
  if (d.ArrayValue) return d.ArrayValue.map(plain);
  if (d.RowValue) return d.RowValue.Data.map(plain);
  if (d.TimeSeriesValue) return d.TimeSeriesValue.map((p) => ({ time: p.Time, value: plain(p.Value) }));
  return d.ScalarValue ?? "";
}

export function show(d: Datum): string {
  const v = plain(d);
  return v === null ? "null" : typeof v === "string" ? v : JSON.stringify(v);
}

export const isNumber = (c: Column) => ["BIGINT", "INTEGER", "DOUBLE"].includes(c.Type.ScalarType ?? "");

/** csv is RFC 4180 text; null is an empty field. */
export function csv(columns: Column[], rows: Datum[][]): string {
  const field = (s: string) => (/[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);
  const lines = rows.map((r) => r.map((d) => (d.NullValue ? "" : field(show(d)))).join(","));
  return [columns.map((c) => field(c.Name ?? "")).join(","), ...lines, ""].join("\r\n");
}

export function json(columns: Column[], rows: Datum[][]): string {
  const value = (d: Datum, c: Column) => {
    const v = plain(d);
    if (typeof v !== "string") return v;
    if (c.Type.ScalarType === "BOOLEAN") return v === "true";
    return isNumber(c) && String(Number(v)) === v ? Number(v) : v;
  };
  return JSON.stringify(rows.map((r) => Object.fromEntries(r.map((d, i) => [columns[i].Name || `_col${i}`, value(d, columns[i])]))), null, 2);
}
