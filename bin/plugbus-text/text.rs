//! What the plugin does, by grapheme cluster: a letter with its accents is one character, an emoji family too.

use unicode_segmentation::UnicodeSegmentation;

pub(crate) fn revert(text: &str) -> String {
    // Of ASCII only a line end of two is one character.
    if text.is_ascii() && !text.contains('\r') {
        return text.chars().rev().collect();
    }
    text.graphemes(true).rev().collect()
}

/// Characters, words and lines.
pub(crate) fn count(text: &str) -> (usize, usize, usize) {
    (text.graphemes(true).count(), text.unicode_words().count(), text.lines().count())
}

/// Lines of at most `width` characters, broken at white space; a longer word is broken where it must be.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split_whitespace() {
        let mut letters: Vec<&str> = word.graphemes(true).collect();
        if room > letters.len() {
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.push_str(word);
                room -= 1 + letters.len();
            }
            continue;
        }
        while !letters.is_empty() {
            let rest = letters.split_off(letters.len().min(width));
            room = width - letters.len();
            lines.push(letters.concat());
            letters = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_characters_survive_being_reverted() {
        for (text, reverted) in [
            ("Live on time, emit no evil", "live on time ,emit no eviL"),
            ("", ""),
            ("noe\u{308}l", "le\u{308}on"),
            ("👨‍👩‍👧 🇩🇪🇫🇷", "🇫🇷🇩🇪 👨‍👩‍👧"),
            ("a\r\nb", "b\r\na"),
        ] {
            assert_eq!(revert(text), reverted);
            assert_eq!(revert(&revert(text)), text);
        }
    }

    #[test]
    fn what_is_counted() {
        assert_eq!(count("noe\u{308}l is near\n"), (13, 3, 1));
        assert_eq!(count(""), (0, 0, 0));
    }

    #[test]
    fn lines_are_broken_at_white_space() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("abcd e f", 3), ["abc", "d e", "f"]);
        assert!(wrap(" \n ", 3).is_empty());
    }
}
