//! Which unit takes back which instance.

use std::collections::HashSet;

/// An instance that was found, as far as its unit depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Claim<'a> {
    pub(in crate::supervisor) name: &'a str,
    /// Unknown where its record was lost, or was written by an older version.
    pub(in crate::supervisor) replica: Option<u32>,
    /// Its process lives; otherwise there is only its exit to be told.
    pub(in crate::supervisor) lives: bool,
}

/// Whether a unit may take that instance.
type Fits = fn(&Claim<'_>, &(&str, u32)) -> bool;

/// For each claim the unit that takes it, by its place among `units`; `None` where nobody does.
///
/// Whoever lives comes before whoever is gone, its own place before any other. Nobody's exit is told to another unit.
pub(in crate::supervisor) fn settle(claims: &[Claim<'_>], units: &[(&str, u32)]) -> Vec<Option<usize>> {
    let mut given = vec![None; claims.len()];
    let mut taken = HashSet::new();
    let own: Fits = |claim, unit| unit.0 == claim.name && Some(unit.1) == claim.replica;
    let any: Fits = |claim, unit| unit.0 == claim.name;
    let rules = [(true, own), (true, any), (false, own)];
    for (lives, fits) in rules {
        for (claim, place) in claims.iter().zip(&mut given).filter(|(claim, _)| claim.lives == lives) {
            if place.is_none() {
                let free = |(at, unit): &(usize, &(&str, u32))| !taken.contains(at) && fits(claim, unit);
                *place = units.iter().enumerate().find(free).map(|(at, _)| at);
                taken.extend(*place);
            }
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, replica: impl Into<Option<u32>>, lives: bool) -> Claim<'_> {
        Claim { name, replica: replica.into(), lives }
    }

    #[test]
    fn each_comes_to_its_own_place_and_the_living_first() {
        let units = [("a", 0), ("a", 1), ("b", 0)];
        for (claims, expected) in [
            (vec![claim("a", 1, true), claim("b", 0, true), claim("a", 0, true)], vec![Some(1), Some(2), Some(0)]),
            // Removed from the configuration, or one replica too many.
            (vec![claim("c", 0, true), claim("a", 7, true)], vec![None, Some(0)]),
            (vec![claim("a", 0, true), claim("a", 1, true), claim("a", 2, true)], vec![Some(0), Some(1), None]),
            // Two for one place: the next free one, then none.
            (vec![claim("b", 0, true), claim("b", 0, true)], vec![Some(2), None]),
            (vec![claim("a", 0, true), claim("a", 0, true)], vec![Some(0), Some(1)]),
            // Who does not know its place takes what the others leave.
            (vec![claim("a", None, true), claim("a", 0, true)], vec![Some(1), Some(0)]),
            // The exit of one that is gone is told where nobody lives, and only there.
            (vec![claim("b", 0, false), claim("b", 0, true)], vec![None, Some(2)]),
            (vec![claim("b", 0, false), claim("b", 0, false), claim("a", None, false)], vec![Some(2), None, None]),
        ] {
            assert_eq!(settle(&claims, &units), expected, "{claims:?}");
        }
    }
}
