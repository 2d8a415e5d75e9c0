//! Partitions: the shares of the slots that workers take.
//!
//! A partition is a range of slots with one subject in the log and one worker at a time. The number of partitions is
//! recorded with the log, and must not change while a sale runs. Next: [`crate::messages::subjects`].

use std::fmt;

use crate::id::{SLOTS, Slot};

/// The number of a partition, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u16);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of partitions of a deployment, `1..=4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PARTITIONS must be between 1 and {SLOTS}")]
pub struct InvalidPartitions;

impl Partitions {
    /// # Errors
    /// When the count is 0 or above the number of slots.
    pub fn new(count: u16) -> Result<Self, InvalidPartitions> {
        (1..=SLOTS)
            .contains(&count)
            .then_some(Self(count))
            .ok_or(InvalidPartitions)
    }

    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// The partition of a slot: `slot * PARTITIONS / 4096`. In SQL: [`partition_of_slot`](crate::partition_of_slot).
    #[must_use]
    pub fn of(self, slot: Slot) -> Partition {
        // Both factors are at most 4096, and the quotient is below PARTITIONS.
        Partition((u32::from(slot.get()) * u32::from(self.0) / u32::from(SLOTS)) as u16)
    }

    /// The slots of a partition.
    #[must_use]
    pub fn slots(self, partition: Partition) -> std::ops::RangeInclusive<Slot> {
        let first =
            |partition: u32| (partition * u32::from(SLOTS)).div_ceil(u32::from(self.0)) as u16;
        let number = u32::from(partition.0);
        Slot::clamped(first(number))..=Slot::clamped(first(number + 1) - 1)
    }

    pub fn all(self) -> impl ExactSizeIterator<Item = Partition> {
        (0..self.0).map(Partition)
    }
}

impl std::str::FromStr for Partitions {
    type Err = InvalidPartitions;

    fn from_str(text: &str) -> Result<Self, InvalidPartitions> {
        text.parse()
            .map_err(|_| InvalidPartitions)
            .and_then(Self::new)
    }
}

/// SQL for [`Partitions::of`]: the partition of a slot as an integer, by a column and the number of partitions.
#[macro_export]
macro_rules! partition_of_slot {
    ($slot:literal, $partitions:literal) => {
        concat!($slot, "::integer * ", $partitions, " / 4096")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProductId;

    #[test]
    fn partition_of_a_product_never_changes() {
        let partitions = Partitions::new(16).unwrap();
        let of = |product| partitions.of(ProductId(product).slot()).0;
        assert_eq!([of(1), of(2), of(3), of(42)], [12, 6, 15, 14]);
    }

    #[test]
    fn sql_of_a_partition_divides_by_the_number_of_slots() {
        let sql = partition_of_slot!("slot", "$1");
        assert_eq!(sql, format!("slot::integer * $1 / {SLOTS}"));
    }

    #[test]
    fn partitions_are_even_ranges_of_slots() {
        for count in [1, 3, 16, 64, 4096] {
            let partitions = Partitions::new(count).unwrap();
            let mut sizes = vec![0_u32; usize::from(count)];
            let mut last = 0;
            for slot in (0..SLOTS).map(Slot::clamped) {
                assert!(partitions.slots(partitions.of(slot)).contains(&slot));
                let partition = partitions.of(slot).0;
                assert!(partition == last || partition == last + 1);
                last = partition;
                sizes[usize::from(partition)] += 1;
            }
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(
                most - least <= 1,
                "{count} partitions: {least} to {most} slots"
            );
        }
    }

    #[test]
    fn partition_count_out_of_range_is_refused() {
        assert!(Partitions::new(0).is_err());
        assert!(Partitions::new(4097).is_err());
        assert!("sixteen".parse::<Partitions>().is_err());
    }
}
