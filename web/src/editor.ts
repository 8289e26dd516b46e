// The SQL editor. It lives in a shadow root: there CodeMirror's styles are constructed sheets, which the
// page's Content-Security-Policy allows.
import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, sql, type SQLNamespace } from "@codemirror/lang-sql";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { setDiagnostics } from "@codemirror/lint";
import { Compartment, Prec } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { errorAt, statementAt } from "./sql";

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--number)" },
  { tag: tags.comment, color: "var(--dim)" },
]);

export class Editor {
  private names = new Compartment();
  private view: EditorView;

  constructor(parent: HTMLElement, doc: string, run: () => void) {
    const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
    this.view = new EditorView({
      doc, root, parent: root,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (run(), true) }])),
        lineNumbers(), history(), autocompletion({ icons: false }), syntaxHighlighting(colours),
        this.names.of(sql({ dialect: PostgreSQL, upperCaseKeywords: true })),
        keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
        EditorView.contentAttributes.of({ "aria-label": "SQL" }),
        EditorView.theme({
          "&": { height: "100%", fontSize: "14px", background: "var(--panel)", color: "var(--ink)" },
          ".cm-gutters": { background: "var(--panel)", color: "var(--dim)", border: "none" },
          ".cm-content": { caretColor: "var(--ink)" },
          ".cm-tooltip": { background: "var(--panel)", color: "var(--ink)" },
        }),
      ],
    });
  }

  complete(schema: SQLNamespace) {
    this.view.dispatch({ effects: this.names.reconfigure(sql({ dialect: PostgreSQL, upperCaseKeywords: true, schema })) });
  }
  get text() {
    return this.view.state.doc.toString();
  }
  set text(t: string) {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: t } });
  }
  /** What to run, the selection or the statement under the cursor, and where it begins. */
  chosen() {
    const { from, to, empty, head } = this.view.state.selection.main;
    const span = empty ? statementAt(this.text, head) : { from, to };
    return span && { text: this.text.slice(span.from, span.to), from: span.from };
  }
  mark(from: number, text: string, message: string | undefined) {
    const at = message === undefined ? undefined : errorAt(text, message);
    const marks = at === undefined ? [] : [{ from: from + at, to: Math.min(from + at + 1, this.view.state.doc.length), severity: "error" as const, message: message! }];
    this.view.dispatch(setDiagnostics(this.view.state, marks));
  }
  close() {
    this.view.destroy();
  }
}
