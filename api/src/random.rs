//! Bytes nobody can guess.

use crate::error::ApiError;

/// Out of the system's own generator.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(bytes)
}
