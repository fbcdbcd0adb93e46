/**
 * A reporter for node:test that writes JSON lines for run-tests.ts.
 *
 * One line for each test that has ended (suites left out), and one with the counts at the end of the process. A run
 * without that last line did not end by itself. The text that people read comes from Node's own "spec" reporter beside it.
 */
import type { EventData } from 'node:test';

export type TestRecord =
  | { readonly kind: 'test'; readonly name: string; readonly file: string; readonly milliseconds: number }
  | { readonly kind: 'counts'; readonly passed: number; readonly failed: number; readonly skipped: number };

type Event =
  | { readonly type: 'test:pass'; readonly data: EventData.TestPass }
  | { readonly type: 'test:fail'; readonly data: EventData.TestFail }
  | { readonly type: 'test:summary'; readonly data: EventData.TestSummary };

export default async function* testEvents(events: AsyncIterable<Event>): AsyncGenerator<string> {
  for await (const event of events) {
    const record = recordOf(event);
    if (record !== undefined) yield `${JSON.stringify(record)}\n`;
  }
}

function recordOf(event: Event): TestRecord | undefined {
  switch (event.type) {
    case 'test:pass':
    case 'test:fail': {
      const { name, file, details } = event.data;
      if (details.type === 'suite') return undefined;
      return { kind: 'test', name, file: file ?? '', milliseconds: details.duration_ms };
    }
    case 'test:summary': {
      const { tests, passed, skipped, todo } = event.data.counts;
      // What is left failed, or was cancelled because something around it failed.
      return { kind: 'counts', passed, failed: tests - passed - skipped - todo, skipped: skipped + todo };
    }
    default:
      return undefined;
  }
}
