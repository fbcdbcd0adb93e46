/**
 * Prometheus' text format: families of samples, each with what it means.
 *
 * Written here since it is two lines of grammar, and the libraries for it keep a second copy of every number and bring
 * OpenTelemetry along. Label values may be any text and are escaped. Pure.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/ (text format, version 0.0.4).
 */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricFamily {
  readonly name: string;
  /** A counter only goes up and begins again at 0 with the process; a gauge is how things are now; a summary is a sum and a count. */
  readonly type: 'counter' | 'gauge' | 'summary';
  /** One sentence for people. */
  readonly help: string;
}

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  /** Of a summary: "_sum", "_count". */
  readonly suffix?: '_sum' | '_count';
  readonly labels: Labels;
  readonly value: number;
}

/** One family with its samples; nothing when there are none. */
export function familyText({ name, type, help }: MetricFamily, samples: readonly Sample[]): string {
  if (samples.length === 0) return '';
  const lines = samples.map(
    ({ suffix = '', labels, value }) => `${name}${suffix}${labelsText(labels)} ${valueText(value)}\n`,
  );
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
