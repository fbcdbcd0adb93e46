/**
 * Brands: types that share a representation but must not be mixed.
 *
 * An interface index and an AS number are both numbers; handing one where the other belongs is a bug that the
 * compiler can find. The maker of the same name (for example `asn()` beside `Asn`) checks the value once, at the
 * edge; behind it nothing is checked again. Only such makers may cast.
 */
declare const brand: unique symbol;

export type Brand<Representation, Name extends string> = Representation & { readonly [brand]: Name };
