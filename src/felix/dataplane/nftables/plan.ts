/**
 * The nftables backend's entry: the program that should be in force and what is in the kernel, to a script.
 *
 * The agent lists the table (kernel/nft.ts), asks `planFilter`, and runs the script if there is any. While nobody else
 * touches the rules it need not list again, which costs more than all the rest: `planFilterAfter` goes on from the last plan
 * that was carried out, and its cost is that of the change. From time to time, and after any refusal, it lists anew.
 * Without a listing the plan rebuilds the table whatever is in it, which is the way out when all else fails.
 */
import type { FilterProgram } from '../filter/program.ts';
import type { FilterPlan } from './difference.ts';
import { difference } from './difference.ts';
import { parseListing } from './parse.ts';
import { printProgram } from './print.ts';

/**
 * What to run so that `desired` is in force.
 * `listed` is the parsed JSON of `nft -j list table inet muslin`, undefined when there is no such table.
 * Throws ListingUnreadable when it is something else.
 */
export function planFilter(desired: FilterProgram, listed: unknown): FilterPlan {
  return difference(printProgram(desired), parseListing(listed));
}

/** What to run so that `desired` is in force, where the script of `previous` was the last that touched the table. */
export function planFilterAfter(previous: FilterPlan, desired: FilterProgram): FilterPlan {
  return difference(printProgram(desired), previous.after);
}
