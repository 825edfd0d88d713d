//! Medians of ratios, with their range.

use std::fmt;

/// What several pairs of runs say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        // A run that did not count.
        values.retain(|value| !value.is_nan());
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match (values.get(middle), values.len() % 2) {
            (Some(upper), 0) => {
                values.get(middle.wrapping_sub(1)).map_or(*upper, |lower| f64::midpoint(*lower, *upper))
            }
            (Some(middle), _) => *middle,
            (None, _) => f64::NAN,
        };
        Self {
            median,
            least: values.first().copied().unwrap_or(f64::NAN),
            most: values.last().copied().unwrap_or(f64::NAN),
        }
    }

    /// Each value over the one of the same pair.
    pub(super) fn of_ratios(values: &[f64], bases: &[f64]) -> Self {
        Self::of(values.iter().zip(bases).map(|(value, base)| value / base).collect())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.median.is_nan() {
            return f.write_str("none counted");
        }
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert!((Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median - 2.5).abs() < f64::EPSILON);
        assert_eq!(Spread::of_ratios(&[2.0, 9.0], &[1.0, 3.0]).to_string(), "2.50 (2.00 to 3.00)");
        assert_eq!(Spread::of(vec![f64::NAN]).to_string(), "none counted");
    }
}
