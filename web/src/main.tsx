// The console's page: a tree of databases and tables, an editor, and what a query returned.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { databases, keep, keys, page, Refused, tables, type Column, type Database, type Datum, type Table } from "./api";
import { Editor } from "./editor";
import { csv, isNumber, json, show } from "./result";
import { quote } from "./sql";
import "./style.css";

const pageRows = 500;
const rowHeight = 26; // pixels, as in style.css

interface Result {
  text: string;
  columns: Column[];
  rows: Datum[][];
  token?: string;
  ms: number;
  bytes: number;
}

function Grid({ result, more }: { result: Result; more: () => void }) {
  const [top, setTop] = useState(0);
  const first = Math.max(0, Math.floor(top / rowHeight) - 10);
  const shown = result.rows.slice(first, first + 80);
  const scrolled = (el: HTMLElement) => {
    setTop(el.scrollTop);
    if (result.token && el.scrollTop + el.clientHeight > el.scrollHeight - 40 * rowHeight) more();
  };
  return (
    <div class="grid" tabIndex={0} onScroll={(e) => scrolled(e.currentTarget as HTMLElement)}>
      <table>
        <thead><tr>{result.columns.map((c, i) => <th title={c.Type.ScalarType}>{c.Name || `_col${i}`}</th>)}</tr></thead>
        <tbody>
          <tr style={{ height: `${first * rowHeight}px` }} />
          {shown.map((r) => (
            <tr class="row">{r.map((d, i) => <td class={d.NullValue ? "null" : isNumber(result.columns[i]) ? "number" : ""} title={show(d)}>{show(d)}</td>)}</tr>
          ))}
          <tr style={{ height: `${Math.max(0, result.rows.length - first - shown.length) * rowHeight}px` }} />
        </tbody>
      </table>
    </div>
  );
}

function SignIn({ done, why }: { done: () => void; why: string }) {
  const [id, setID] = useState("");
  const [secret, setSecret] = useState("");
  const [token, setToken] = useState("");
  return (
    <form class="signin" onSubmit={(e) => { e.preventDefault(); keep({ id, secret, token: token || undefined }); done(); }}>
      <h1>weir</h1>
      <p>{why}</p>
      <label>Access key ID<input required autocomplete="off" value={id} onInput={(e) => setID(e.currentTarget.value.trim())} /></label>
      <label>Secret access key<input required type="password" autocomplete="off" value={secret} onInput={(e) => setSecret(e.currentTarget.value.trim())} /></label>
      <label>Session token, if there is one<input type="password" autocomplete="off" value={token} onInput={(e) => setToken(e.currentTarget.value.trim())} /></label>
      <button class="main">Sign in</button>
      <small>Kept in this tab only, until it is closed.</small>
    </form>
  );
}

function save(name: string, type: string, text: string) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([text], { type }));
  a.download = name;
  a.click();
  URL.revokeObjectURL(a.href);
}

function App() {
  const [tree, setTree] = useState<{ db: Database; tables: Table[] }[]>();
  const [result, setResult] = useState<Result>();
  const [error, setError] = useState("");
  const [refused, setRefused] = useState("");
  const [running, setRunning] = useState<AbortController>();
  const busy = useRef(false);
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor>(undefined);

  const failed = (e: unknown) => {
    if (e instanceof Refused && e.unknownCaller) setRefused(keys() ? e.message : "This server verifies requests.");
    else setError(e instanceof Error ? e.message : String(e));
  };
  const load = async () => {
    try {
      const list = await Promise.all((await databases()).map(async (db) => ({ db, tables: await tables(db.DatabaseName) })));
      setTree(list);
      editor.current?.complete(Object.fromEntries(list.map((d) => [d.db.DatabaseName, Object.fromEntries(d.tables.map((t) => [t.TableName, []]))])));
    } catch (e) {
      failed(e);
    }
  };
  const run = async () => {
    const chosen = editor.current?.chosen();
    if (!chosen || busy.current) return;
    busy.current = true;
    const stop = new AbortController();
    setRunning(stop);
    setError("");
    history.replaceState(null, "", "#q=" + encodeURIComponent(editor.current!.text));
    const began = performance.now();
    try {
      const p = await page(chosen.text, undefined, pageRows, stop.signal);
      setResult({ text: chosen.text, columns: p.ColumnInfo, rows: p.Rows.map((r) => r.Data), token: p.NextToken, ms: performance.now() - began, bytes: p.QueryStatus?.CumulativeBytesScanned ?? 0 });
      editor.current!.mark(0, "", undefined);
    } catch (e) {
      setResult(undefined);
      if (stop.signal.aborted) setError("Cancelled.");
      else {
        failed(e);
        editor.current!.mark(chosen.from, chosen.text, String((e as Error).message));
      }
    }
    busy.current = false;
    setRunning(undefined);
  };
  const more = async () => {
    if (busy.current || !result?.token) return;
    busy.current = true;
    try {
      const p = await page(result.text, result.token, pageRows, new AbortController().signal);
      setResult({ ...result, rows: [...result.rows, ...p.Rows.map((r) => r.Data)], token: p.NextToken });
    } catch (e) {
      failed(e);
    }
    busy.current = false;
  };

  useEffect(() => {
    if (refused) return;
    const linked = location.hash.startsWith("#q=") ? decodeURIComponent(location.hash.slice(3)) : "SHOW DATABASES";
    editor.current = new Editor(place.current!, linked, () => runner.current());
    void load();
    return () => editor.current?.close();
  }, [refused]);
  const runner = useRef(run);
  runner.current = run;

  if (refused) return <SignIn why={refused} done={() => setRefused("")} />;
  const preview = (t: Table) => {
    editor.current!.text = `SELECT * FROM ${quote(t.DatabaseName)}.${quote(t.TableName)} ORDER BY time DESC LIMIT 1000`;
    void run();
  };
  return (
    <div class="app">
      <header>
        <b>weir</b>
        <span class="gap" />
        {keys() && <button onClick={() => { keep(undefined); setTree(undefined); setResult(undefined); setRefused("Signed out."); }}>Sign out</button>}
      </header>
      <nav aria-label="Databases">
        <div class="head">Databases <button title="Read again" onClick={load}>↻</button></div>
        {tree?.map(({ db, tables }) => (
          <details open>
            <summary>{db.DatabaseName}</summary>
            {tables.map((t) => (
              <button class="table" title="Show the last readings" onClick={() => preview(t)}>
                {t.TableName}
                <small>{t.RetentionProperties && `${t.RetentionProperties.MemoryStoreRetentionPeriodInHours} h, ${t.RetentionProperties.MagneticStoreRetentionPeriodInDays} d`}</small>
              </button>
            ))}
          </details>
        ))}
        {tree?.length === 0 && <p>No database yet. <code>aws timestream-write create-database --database-name iot</code> makes one; <code>weir demo</code> shows a filled one.</p>}
      </nav>
      <main>
        <div class="editor" ref={place} />
        <div class="bar">
          {running ? <button onClick={() => running.abort()}>Cancel</button> : <button class="main" onClick={run}>Run</button>}
          <small>Ctrl-Enter</small>
          <span class="gap" />
          {result && <small role="status">{result.rows.length.toLocaleString()}{result.token ? "+" : ""} rows, {Math.round(result.ms)} ms, {result.bytes.toLocaleString()} bytes scanned</small>}
          {result && <button onClick={() => save("result.csv", "text/csv", csv(result.columns, result.rows))}>CSV</button>}
          {result && <button onClick={() => save("result.json", "application/json", json(result.columns, result.rows))}>JSON</button>}
        </div>
        {error && <div class="error" role="alert">{error}</div>}
        {result && <Grid key={result.text + result.ms} result={result} more={more} />}
      </main>
    </div>
  );
}

render(<App />, document.getElementById("app")!);
