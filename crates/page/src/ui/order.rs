//! Sorting. Every type that is sorted by itself costs the program a kilobyte or two; here everything is sorted as whole numbers, in one way.

use inkling_core::ops::sample::rank;

/// The places of numbers, the largest first; of equals, the earlier first.
pub fn largest_first(numbers: impl Iterator<Item = f32>) -> Vec<usize> {
    places(numbers.zip(0..).map(|(number, place)| rank(number, place)).collect())
}

/// The places of counts, the largest first; of equals, the earlier first.
pub fn commonest_first(counts: impl Iterator<Item = u32>) -> Vec<usize> {
    places(counts.zip(0..).map(|(count, place)| pair(!count, place)).collect())
}

/// Smaller numbers first.
pub fn smallest_first(numbers: &mut [u32]) {
    let mut keys: Vec<u64> = numbers.iter().copied().map(u64::from).collect();
    keys.sort_unstable();
    numbers.iter_mut().zip(keys).for_each(|(number, key)| *number = key as u32);
}

/// Two numbers as one, ordered by the first, then by the second.
pub fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// The other way.
pub fn halves(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

/// Each different number and how often it is there, in order.
pub fn counted(mut numbers: Vec<u64>) -> Vec<(u64, u32)> {
    numbers.sort_unstable();
    numbers.chunk_by(PartialEq::eq).map(|same| (same[0], same.len() as u32)).collect()
}

/// The low halves, in the order of the whole.
fn places(mut keys: Vec<u64>) -> Vec<usize> {
    keys.sort_unstable();
    keys.into_iter().map(|key| halves(key).1 as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_signs_are_sorted() {
        let numbers = [-1.0, 2.5, f32::INFINITY, 0.0, 2.5, -0.0, f32::NEG_INFINITY, -1e-30];
        assert_eq!(largest_first(numbers.into_iter()), [2, 1, 4, 3, 5, 7, 0, 6]);
        assert_eq!(largest_first([].into_iter()), [0; 0]);
    }

    #[test]
    fn whole_numbers_are_sorted() {
        let mut numbers = [3, u32::MAX, 0, 3];
        smallest_first(&mut numbers);
        assert_eq!(numbers, [0, 3, 3, u32::MAX]);
    }

    #[test]
    fn of_equal_counts_the_earlier_is_first() {
        assert_eq!(commonest_first([1, 3, 0, 3, u32::MAX].into_iter()), [4, 1, 3, 0, 2]);
    }

    #[test]
    fn equals_are_counted() {
        assert_eq!(halves(pair(7, u32::MAX)), (7, u32::MAX));
        assert_eq!(counted(vec![pair(2, 1), 5, pair(1, 9), 5]), [(5, 2), (pair(1, 9), 1), (pair(2, 1), 1)]);
    }
}
