//! The order in which people expect names: numbers in them by value.

use std::cmp::Ordering;

/// `2` before `10`, `image9` before `image10`; names that differ in nothing else but leading zeros
/// by their bytes.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while let (Some(part_a), Some(part_b)) = (part(rest_a), part(rest_b)) {
        let order = match (number(part_a), number(part_b)) {
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => part_a.cmp(part_b),
        };
        if order.is_ne() {
            return order;
        }
        (rest_a, rest_b) = (&rest_a[part_a.len()..], &rest_b[part_b.len()..]);
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// The digits at the beginning, or all that is no digit.
fn part(text: &str) -> Option<&str> {
    let is_digit = text.chars().next()?.is_ascii_digit();
    let end = text.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(text.len());
    Some(&text[..end])
}

/// Digits without leading zeros.
fn number(part: &str) -> Option<&str> {
    part.starts_with(|c: char| c.is_ascii_digit()).then(|| part.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_by_value_and_no_two_names_are_equal() {
        let mut names = ["b", "10", "2", "a10", "a9", "a", "02", "a9b", "", "12", "a09"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["", "02", "2", "10", "12", "a", "a09", "a9", "a9b", "a10", "b"]);
        assert_eq!(compare("x1", "x1"), Ordering::Equal);
    }
}
