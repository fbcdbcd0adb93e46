/**
 * Tables of state, declared once.
 *
 * Each kind of state declares its columns beside its type: a title and how to print one row's cell. The CLI's text, its
 * `-o json`, logs and tests print from that one list, so they cannot disagree. Text tables have upper-case titles, are
 * padded with spaces, carry no colours and no frames: they can be read aloud, cut by `awk`, and fit a terminal.
 */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Shown only where the user asks for more (`-o wide`). */
  readonly wide?: boolean;
}

const GAP = '   ';

/** Prints rows under their titles; every line ends without trailing blanks. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.cell(row))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)));
  return lines
    .map((line) => line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}
