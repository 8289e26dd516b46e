// What the console knows of SQL's text: where statements end, and how names and errors are written.

export interface Span {
  from: number;
  to: number;
}

/** statements returns the spans of the statements in text, without their semicolons and surrounding space. */
export function statements(text: string): Span[] {
  const spans: Span[] = [];
  // Strings, quoted names and comments hold semicolons that end nothing; an open one runs to the end.
  const tokens = /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|;/g;
  let from = 0;
  const add = (to: number) => {
    const part = text.slice(from, to);
    const lead = part.length - part.trimStart().length;
    if (part.trim() !== "") spans.push({ from: from + lead, to: from + part.trimEnd().length });
  };
  for (const m of text.matchAll(tokens)) {
    if (m[0] !== ";") continue;
    add(m.index);
    from = m.index + 1;
  }
  add(text.length);
  return spans;
}

/** statementAt returns the statement under the cursor, or the last one before it. */
export function statementAt(text: string, cursor: number): Span | undefined {
  const spans = statements(text);
  return spans.find((s) => cursor <= s.to + 1 && cursor >= s.from) ?? spans.filter((s) => s.from <= cursor).pop() ?? spans[0];
}

export const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** errorAt returns the offset in text that a message names as line L:C or "line L, column C", both from 1. */
export function errorAt(text: string, message: string): number | undefined {
  const m = /line (\d+)(?::|,? column )(\d+)/i.exec(message);
  if (!m) return undefined;
  const lines = text.split("\n");
  const line = Number(m[1]) - 1;
  if (line < 0 || line >= lines.length) return undefined;
  const before = lines.slice(0, line).reduce((n, l) => n + l.length + 1, 0);
  return before + Math.max(0, Math.min(Number(m[2]) - 1, lines[line].length));
}
