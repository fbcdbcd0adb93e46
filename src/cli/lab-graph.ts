/**
 * `muslin lab graph`: a picture of a topology, drawn from the file alone.
 *
 * As text for a terminal, or as SVG for a page; docs/labs has the shipped ones. Nothing is built, so no right is needed. What
 * is drawn is what the file says: segments with their subnets, hosts with their blocks and workloads, routers.
 */
import { Command, Option } from 'commander';
import { layOut, WIDTH_MAX } from '../lab/graph/layout.ts';
import { svgPicture } from '../lab/graph/svg-picture.ts';
import { textPicture } from '../lab/graph/text-picture.ts';
import { readTopology } from '../lab/read-topology.ts';
import { findTopology } from '../lab/topology-file.ts';
import { labAction } from './lab-action.ts';

export function labGraphCommand(): Command {
  return new Command('graph')
    .description('Draw a topology: its segments, hosts with their blocks, routers and workloads.')
    .argument('<name|file>', 'a shipped topology (muslin lab list), or a file: ./my-lab.yaml')
    .addOption(new Option('--svg', 'as SVG, for a page').conflicts('ascii'))
    .addOption(new Option('--ascii', 'as text, which it is without an option'))
    .addHelpText(
      'after',
      '\nExample:\n  muslin lab graph two-hosts\n  muslin lab graph two-hosts --svg > two-hosts.svg',
    )
    .action((nameOrFile: string, { svg }: { readonly svg?: boolean }) =>
      labAction(() => {
        const { source, text } = findTopology(nameOrFile);
        const topology = readTopology(source, text);
        const picture = layOut(topology, WIDTH_MAX);
        process.stdout.write(svg === true ? svgPicture(picture, topology.description) : textPicture(picture));
      }),
    );
}
