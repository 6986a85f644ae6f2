//! Which of the known names somebody meant.

/// The known names that are nearest to a wrong one, best first, at most three.
///
/// A name counts where a third of its letters or fewer are wrong, or where one begins with the other.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // What strangers send may be long, and the distance takes the product of both lengths.
    let wrong: String = wrong.chars().take(super::MAX_METHOD).collect();
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let distance = distance(&wrong, name);
            let prefix = wrong.len() >= 2 && (name.starts_with(&wrong) || wrong.starts_with(name));
            let close = distance <= wrong.len().max(name.len()).div_ceil(3);
            (close || prefix).then_some((distance, name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["revert", "count", "wrap", "slow_revert"];
        for (wrong, meant) in [
            ("rever", &["revert"][..]),
            ("reverse", &["revert"]),
            ("cuont", &["count"]),
            ("slow", &["slow_revert"]),
            ("frobnicate", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(wrong, known), meant, "{wrong}");
        }
    }
}
