/**
 * Whose route holds when several want one destination: the lowest rank.
 *
 * A container that is here beats any hearsay, and so does the way to a peer that somebody wrote down, since what a peer says of the
 * way to itself may lead back to it. An outside address leads to a container only where it is nobody's own. Where the store
 * knows the way, nobody need be believed. The other end of a tunnel is in the tunnel, whoever else may have its address.
 */
export const RANK = { device: 0, peer: 1, floating: 2, tunnel: 3, stored: 4, learned: 5, blackhole: 6 } as const;
