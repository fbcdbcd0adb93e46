/**
 * One manual page in roff, man(7)'s macros, for a command or for muslin as a whole.
 *
 * A page is made of what the command itself knows: description, arguments, options, examples; so it cannot differ from
 * `--help`. The text is escaped so that nothing in it is read as a request or an escape (groff_char(7)): a backslash, a full
 * stop or quote that begins a line, a hyphen that must stay one to be copied. Pure.
 */
export interface ManEntry {
  /** What is explained, as it is typed: "-o, --output <format>". */
  readonly term: string;
  readonly text: string;
}

export interface ManPage {
  /** "muslin-lab-up": the page's name, and its file's. */
  readonly name: string;
  readonly summary: string;
  /** As typed, "muslin lab up [options] <name|file>". */
  readonly synopsis: string;
  readonly description: string;
  readonly sections: readonly ManSection[];
  /** Lines as they are, under EXAMPLES. */
  readonly examples: readonly string[];
  readonly seeAlso: readonly string[];
}

export interface ManSection {
  readonly title: string;
  readonly entries: readonly ManEntry[];
}

/** Commands for administrators are in section 8 (man-pages(7)). */
export const MAN_SECTION = 8;

/** The page's text; `version` stands in its foot. */
export function manPageText(page: ManPage, version: string): string {
  const lines = [
    `.TH ${quoted(page.name.toUpperCase())} ${MAN_SECTION} "" ${quoted(`muslin ${version}`)} "muslin"`,
    '.SH NAME',
    `${escaped(page.name)} \\- ${escaped(page.summary)}`,
    '.SH SYNOPSIS',
    `.B ${quoted(page.synopsis)}`,
    '.SH DESCRIPTION',
    ...paragraphs(page.description),
    ...page.sections.flatMap(sectionLines),
    ...(page.examples.length === 0 ? [] : ['.SH EXAMPLES', '.nf', ...page.examples.map(lineText), '.fi']),
    ...(page.seeAlso.length === 0 ? [] : ['.SH SEE ALSO', ...seeAlsoLines(page.seeAlso)]),
  ];
  return `${lines.join('\n')}\n`;
}

function sectionLines({ title, entries }: ManSection): string[] {
  if (entries.length === 0) return [];
  return [
    `.SH ${quoted(title)}`,
    ...entries.flatMap(({ term, text }) => ['.TP', `.B ${quoted(term)}`, ...paragraphs(text)]),
  ];
}

/** Every line but the last ends with a comma. */
function seeAlsoLines(names: readonly string[]): string[] {
  return names.map((name, index) => `.BR ${quoted(name)} (${MAN_SECTION})${index < names.length - 1 ? ',' : ''}`);
}

/** Lines of running text; an empty one begins a new paragraph. */
function paragraphs(text: string): string[] {
  return text.split('\n').map((line) => (line.trim() === '' ? '.PP' : lineText(line.trim())));
}

/** Text that begins a line of its own: not to be taken for a request. */
function lineText(line: string): string {
  if (line === '') return '\\&';
  return /^[.']/.test(line) ? `\\&${escaped(line)}` : escaped(line);
}

/** An argument of a macro. */
function quoted(text: string): string {
  return `"${escaped(text)}"`;
}

/** groff reads ASCII safely everywhere; what is beyond it is written by its code point. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga')
    .replaceAll(/[^\x20-\x7e]/gu, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code < 0x20 || code === 0x7f ? ' ' : `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]`;
    });
}
