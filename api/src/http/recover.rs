//! The answers to requests that no route took.

use std::convert::Infallible;

use schema::problem::Code;
use warp::{
    Rejection, Reply,
    body::BodyDeserializeError,
    reject::{
        InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingHeader, PayloadTooLarge,
        UnsupportedMediaType,
    },
    reply::Response,
};

use crate::error::ApiError;

/// Says why no route took it.
pub(crate) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(reason(&rejection).into_response())
}

fn reason(rejection: &Rejection) -> ApiError {
    if rejection.find::<MethodNotAllowed>().is_some() {
        ApiError::refused(Code::MethodNotAllowed, "try another method")
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        ApiError::refused(Code::BodyTooLarge, "a body may have at most 65536 bytes")
    } else if rejection.find::<UnsupportedMediaType>().is_some() {
        ApiError::refused(Code::UnsupportedMediaType, "send application/json")
    } else if rejection.find::<InvalidQuery>().is_some()
        || rejection.find::<InvalidHeader>().is_some()
        || rejection.find::<MissingHeader>().is_some()
        || rejection.find::<LengthRequired>().is_some()
        || rejection.find::<BodyDeserializeError>().is_some()
    {
        ApiError::refused(Code::InvalidRequest, "the request is malformed")
    } else if rejection.is_not_found() {
        ApiError::refused(Code::NotFound, "there is nothing at this address")
    } else {
        ApiError::Internal(format!("unexpected rejection: {rejection:?}").into())
    }
}
