//! Ids that contain the slot of their product.
//!
//! A request id and a hold id are UUIDs of version 8 (RFC 9562, section 5.8): 48 bits of Unix milliseconds, the 12-bit slot
//! of their product, 62 random bits. So the id alone gives the partition. The hash behind the slot must never change, because
//! rows are stored under the slot. Next: [`crate::partition`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of slots. It never changes.
pub const SLOTS: u16 = 4096;

const RANDOM_BITS: u32 = 62;

/// The number of a product, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProductId(pub i64);

impl ProductId {
    /// The slot of this product's rows and commands: SplitMix64's finaliser (Steele, Lea and Flood, 2014) over the number,
    /// modulo [`SLOTS`]. Golden tests pin the result.
    #[must_use]
    pub fn slot(self) -> Slot {
        let mut hash = self.0.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        Slot((hash % u64::from(SLOTS)) as u16)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of [`SLOTS`] fixed shares of all products, `0..4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot(u16);

impl Slot {
    /// The slot as stored in Postgres (`smallint`).
    #[must_use]
    pub fn as_i16(self) -> i16 {
        // A slot is below 4096, so it fits.
        self.0 as i16
    }

    /// The slot of this number, or the last slot when the number is too high.
    pub(crate) fn clamped(number: u16) -> Self {
        Self(number.min(SLOTS - 1))
    }

    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of version 8")]
pub struct InvalidId;

fn compose(slot: Slot, unix_millis: u64, random: u64) -> Uuid {
    let millis = u128::from(unix_millis & 0xffff_ffff_ffff);
    let random = u128::from(random & ((1 << RANDOM_BITS) - 1));
    Uuid::from_u128(
        millis << 80 | 0x8 << 76 | u128::from(slot.0) << 64 | 0b10 << RANDOM_BITS | random,
    )
}

fn check(uuid: Uuid) -> Result<Uuid, InvalidId> {
    let is_version_8 = uuid.get_version_num() == 8 && uuid.get_variant() == uuid::Variant::RFC4122;
    is_version_8.then_some(uuid).ok_or(InvalidId)
}

fn slot_in(uuid: Uuid) -> Slot {
    Slot((uuid.as_u128() >> 64) as u16 & (SLOTS - 1))
}

macro_rules! slotted_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub struct $name(Uuid);

        impl $name {
            /// An id in a slot, from a Unix time in milliseconds and 62 random bits (higher bits are ignored).
            #[must_use]
            pub fn new(slot: Slot, unix_millis: u64, random: u64) -> Self {
                Self(compose(slot, unix_millis, random))
            }

            /// # Errors
            /// When the UUID is not of version 8.
            pub fn from_uuid(uuid: Uuid) -> Result<Self, InvalidId> {
                check(uuid).map(Self)
            }

            /// The slot of the product that this id belongs to.
            #[must_use]
            pub fn slot(self) -> Slot {
                slot_in(self.0)
            }

            /// The time in the id, in Unix milliseconds, by the clock of the host that created the id.
            #[must_use]
            pub fn unix_millis(self) -> u64 {
                (self.0.as_u128() >> 80) as u64
            }

            /// The id as stored.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form of RFC 9562, so that an id has one spelling (except for the case of its letters).
                if text.len() != uuid::fmt::Hyphenated::LENGTH {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text)
                    .map_err(|_| InvalidId)
                    .and_then(Self::from_uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

slotted_id!(RequestId, "The id of a command and its outcome.");
slotted_id!(
    HoldId,
    "The id of a hold, and of the order that consumes it."
);

impl HoldId {
    /// A hold has the UUID of the command that created it.
    #[must_use]
    pub fn of_request(request: RequestId) -> Self {
        Self(request.0)
    }

    /// The command that created this hold.
    #[must_use]
    pub fn request(self) -> RequestId {
        RequestId(self.0)
    }
}

/// The reference of an order: `order_` and the order's id. Parsing accepts the id without the prefix, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderReference(Uuid);

impl OrderReference {
    const PREFIX: &str = "order_";

    /// The reference of an order id that was read from a table, where every id is valid.
    #[must_use]
    pub fn of_stored(order_id: Uuid) -> Self {
        Self(order_id)
    }

    /// The order's id, which is that of its hold.
    #[must_use]
    pub fn order_id(self) -> HoldId {
        HoldId(self.0)
    }
}

impl From<HoldId> for OrderReference {
    fn from(order_id: HoldId) -> Self {
        Self(order_id.0)
    }
}

impl FromStr for OrderReference {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        id.parse().map(|id: HoldId| Self(id.0))
    }
}

impl fmt::Display for OrderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_of_a_product_never_changes() {
        let golden = [
            (1, 3265),
            (2, 1742),
            (3, 4077),
            (42, 3733),
            (1_000_000, 1511),
            (i64::MAX, 3751),
        ];
        for (product, slot) in golden {
            assert_eq!(ProductId(product).slot().get(), slot, "product {product}");
        }
    }

    #[test]
    fn layout_of_ids_never_changes() {
        let id = RequestId::new(ProductId(1).slot(), 0x0123_4567_89ab, 0x3fed_cba9_8765_4321);
        assert_eq!(id.to_string(), "01234567-89ab-8cc1-bfed-cba987654321");
        assert_eq!(id.slot(), ProductId(1).slot());
        assert_eq!(id.unix_millis(), 0x0123_4567_89ab);
        assert_eq!(HoldId::of_request(id).slot(), id.slot());
        assert_eq!(HoldId::of_request(id).request(), id);
    }

    #[test]
    fn order_reference_is_prefix_and_id_and_parses_both() {
        let id: HoldId = "01234567-89ab-84c1-bfed-cba987654321".parse().unwrap();
        let text = "order_01234567-89ab-84c1-bfed-cba987654321";
        assert_eq!(OrderReference::from(id).to_string(), text);
        assert_eq!(OrderReference::of_stored(id.uuid()).to_string(), text);
        for given in [text, &id.to_string()] {
            let parsed: OrderReference = given.parse().unwrap();
            assert_eq!(parsed.order_id(), id);
        }
        for wrong in ["", "order_", "order_1", &format!("order_{text}")] {
            assert_eq!(wrong.parse::<OrderReference>(), Err(InvalidId), "{wrong}");
        }
    }

    #[test]
    fn id_must_be_version_8_in_hyphenated_form() {
        assert!(
            "01234567-89ab-84c1-bfed-cba987654321"
                .parse::<HoldId>()
                .is_ok()
        );
        assert!(
            "01234567-89AB-84C1-BFED-CBA987654321"
                .parse::<HoldId>()
                .is_ok()
        );
        for text in [
            "",
            "1",
            "01234567-89ab-44c1-bfed-cba987654321",
            "01234567-89ab-74c1-bfed-cba987654321",
            "01234567-89ab-84c1-ffed-cba987654321",
            "0123456789ab84c1bfedcba987654321",
            "{01234567-89ab-84c1-bfed-cba987654321}",
            "urn:uuid:01234567-89ab-84c1-bfed-cba987654321",
        ] {
            assert_eq!(text.parse::<HoldId>(), Err(InvalidId), "{text}");
        }
    }
}
