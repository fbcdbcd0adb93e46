/**
 * Findings and explanations of IPAM as text: labelled paragraphs that fit a terminal.
 *
 * A finding has sentences, which make no table. Names and addresses are never cut: they are there to be copied.
 */
import type { Finding } from '../ipam/finding.ts';

/** Fits the 80 columns that every terminal has. */
const WIDTH = 79;
const INDENT = 10;

/** Lines of "  label   text", the text wrapped between words and aligned. */
export function labelled(label: string, text: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && INDENT + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((each, index) => `${(index === 0 ? `  ${label}` : '').padEnd(INDENT)}${each}\n`).join('');
}

export function findingText({ code, subject, cause, remedy, isRepairable }: Finding): string {
  return `${code} ${subject}\n${labelled('cause', cause)}${labelled(isRepairable ? 'repair' : 'to do', remedy)}`;
}
