//! Cuts a page out of what a store finds on both sides of a pivot.

use crate::Window;

/// What a store must look up for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Splits the room: items below it, and items from it upwards.
    pub(crate) pivot: u64,
    /// How many items below the pivot, nearest first.
    pub(crate) below: usize,
    /// How many items from the pivot upwards, nearest first.
    pub(crate) above: usize,
}

/// A page before it is read: its items ascending, and whether there is more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_more_before: bool,
    pub(crate) has_more_after: bool,
}

impl Reach {
    /// One item more than the page holds on the side it grows to, one on the other: enough to say whether there is
    /// more.
    pub(crate) const fn of(window: Window, limit: usize) -> Self {
        match window {
            Window::Newest => Self { pivot: u64::MAX, below: limit + 1, above: 0 },
            Window::Before(seq) => Self { pivot: seq, below: limit + 1, above: 1 },
            Window::After(seq) => Self { pivot: seq.saturating_add(1), below: 1, above: limit + 1 },
            Window::Around(seq) => Self { pivot: seq, below: limit + 1, above: limit + 1 },
        }
    }
}

/// Cuts the page: `below` descends from the pivot, `above` ascends from it.
pub(crate) fn cut<T>(window: Window, limit: usize, mut below: Vec<T>, mut above: Vec<T>) -> Cut<T> {
    let (from_below, from_above) = match window {
        Window::Newest | Window::Before(_) => (below.len().min(limit), 0),
        Window::After(_) => (0, above.len().min(limit)),
        Window::Around(_) => {
            // Half each; a short side leaves its room to the other.
            let from_above = above.len().min(limit - below.len().min(limit / 2));
            (below.len().min(limit - from_above), from_above)
        }
    };
    let has_more_before = below.len() > from_below;
    let has_more_after = above.len() > from_above;
    below.truncate(from_below);
    above.truncate(from_above);
    below.reverse();
    below.append(&mut above);
    Cut { items: below, has_more_before, has_more_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that a room with the seqs 1 to `last` answers.
    fn page(last: u64, window: Window, limit: usize) -> Cut<u64> {
        let reach = Reach::of(window, limit);
        let below = (1..=last).rev().filter(|seq| *seq < reach.pivot).take(reach.below).collect();
        let above = (1..=last).filter(|seq| *seq >= reach.pivot).take(reach.above).collect();
        cut(window, limit, below, above)
    }

    fn check(last: u64, window: Window, limit: usize, expected: &[u64]) {
        let page = page(last, window, limit);
        assert_eq!(page.items, expected, "{window:?} of {last}");
        let before = page.items.first().map_or(0, |first| first - 1);
        if !page.items.is_empty() {
            assert_eq!(page.has_more_before, before > 0, "{window:?} of {last}");
            assert_eq!(page.has_more_after, page.items.last().is_some_and(|seq| *seq < last), "{window:?} of {last}");
        }
    }

    #[test]
    fn each_window_shows_its_part_and_says_what_is_left() {
        check(9, Window::Newest, 3, &[7, 8, 9]);
        check(2, Window::Newest, 3, &[1, 2]);
        check(9, Window::Before(4), 3, &[1, 2, 3]);
        check(9, Window::Before(5), 3, &[2, 3, 4]);
        check(9, Window::Before(100), 3, &[7, 8, 9]);
        check(9, Window::After(0), 3, &[1, 2, 3]);
        check(9, Window::After(7), 3, &[8, 9]);
        check(9, Window::Around(5), 3, &[4, 5, 6]);
        check(9, Window::Around(5), 1, &[5]);
        check(9, Window::Around(1), 4, &[1, 2, 3, 4]);
        check(9, Window::Around(9), 4, &[6, 7, 8, 9]);
        check(3, Window::Around(100), 2, &[2, 3]);
        check(3, Window::Around(2), 100, &[1, 2, 3]);
    }

    #[test]
    fn an_empty_page_still_says_what_lies_beside_it() {
        let nothing_before = page(9, Window::Before(1), 3);
        assert!(nothing_before.items.is_empty() && !nothing_before.has_more_before && nothing_before.has_more_after);
        let nothing_after = page(9, Window::After(9), 3);
        assert!(nothing_after.items.is_empty() && nothing_after.has_more_before && !nothing_after.has_more_after);
        assert_eq!(page(0, Window::Newest, 3), Cut { items: vec![], has_more_before: false, has_more_after: false });
    }
}
