//! `StartStreamEncryption` and `StopStreamEncryption`: set the encryption type of records; nothing
//! is encrypted.

use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, KEY_ID};
use crate::kinesis::model::{
    ApiError, EncryptionType, Response, StartStreamEncryptionInput, StopStreamEncryptionInput,
};
use crate::kinesis::stream::phase::Change;

/// The members of both operations.
struct EncryptionInput<'a> {
    target: StreamTarget<'a>,
    encryption_type: Option<&'a String>,
    key_id: Option<&'a String>,
}

pub(super) fn start(
    account: &mut Account,
    call: &Call<'_>,
    input: StartStreamEncryptionInput,
) -> Result<Response, ApiError> {
    let input = EncryptionInput {
        target: StreamTarget::new(&input.stream_name, &input.stream_arn),
        encryption_type: input.encryption_type.as_ref(),
        key_id: input.key_id.as_ref(),
    };
    let key = input.key_id.cloned();
    change(account, call, &input, Change::Encryption { encryption: EncryptionType::Kms, key })
}

pub(super) fn stop(
    account: &mut Account,
    call: &Call<'_>,
    input: StopStreamEncryptionInput,
) -> Result<Response, ApiError> {
    let input = EncryptionInput {
        target: StreamTarget::new(&input.stream_name, &input.stream_arn),
        encryption_type: input.encryption_type.as_ref(),
        key_id: input.key_id.as_ref(),
    };
    change(account, call, &input, Change::Encryption { encryption: EncryptionType::None, key: None })
}

fn change(
    account: &mut Account,
    call: &Call<'_>,
    input: &EncryptionInput<'_>,
    change: Change,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.stream(input.target);
    let kind = constraints.required_one_of("encryptionType", input.encryption_type, EncryptionType::None);
    constraints.required_text("keyId", input.key_id, &KEY_ID);
    constraints.check()?;
    if kind != EncryptionType::Kms {
        return Err(ApiError::invalid_argument("EncryptionType must be KMS."));
    }
    let until = call.now.plus(call.config.transitions.update);
    account.active_stream(call, input.target)?.update(change, call.now, until);
    Ok(Response::Empty)
}
