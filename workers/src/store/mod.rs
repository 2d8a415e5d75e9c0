//! The workers' SQL, as free functions on a connection. A batch costs the same few statements whatever its size.

pub mod lease;
pub mod load;
pub mod write;
