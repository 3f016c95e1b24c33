//! `StartStreamEncryption` and `StopStreamEncryption`: a flag that records carry; nothing is encrypted.

use crate::kinesis::account::{Account, Call};
use crate::kinesis::constraint::{Constraints, KEY_ID};
use crate::kinesis::model::{
    ApiError, EncryptionType, Response, StartStreamEncryptionInput, StopStreamEncryptionInput,
};
use crate::kinesis::stream::phase::Change;

struct Wanted<'a> {
    stream_name: Option<&'a String>,
    stream_arn: Option<&'a String>,
    encryption_type: Option<&'a String>,
    key_id: Option<&'a String>,
}

pub(super) fn start(
    account: &mut Account,
    call: &Call<'_>,
    input: StartStreamEncryptionInput,
) -> Result<Response, ApiError> {
    let wanted = Wanted {
        stream_name: input.stream_name.as_ref(),
        stream_arn: input.stream_arn.as_ref(),
        encryption_type: input.encryption_type.as_ref(),
        key_id: input.key_id.as_ref(),
    };
    change(account, call, &wanted, Change::Encryption { encryption: EncryptionType::Kms, key: input.key_id.clone() })
}

pub(super) fn stop(
    account: &mut Account,
    call: &Call<'_>,
    input: StopStreamEncryptionInput,
) -> Result<Response, ApiError> {
    let wanted = Wanted {
        stream_name: input.stream_name.as_ref(),
        stream_arn: input.stream_arn.as_ref(),
        encryption_type: input.encryption_type.as_ref(),
        key_id: input.key_id.as_ref(),
    };
    change(account, call, &wanted, Change::Encryption { encryption: EncryptionType::None, key: None })
}

fn change(account: &mut Account, call: &Call<'_>, wanted: &Wanted<'_>, change: Change) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.stream(wanted.stream_name, wanted.stream_arn);
    let kind = constraints.required_one_of("encryptionType", wanted.encryption_type, EncryptionType::None);
    constraints.required_text("keyId", wanted.key_id, &KEY_ID);
    constraints.check()?;
    if kind != EncryptionType::Kms {
        return Err(ApiError::invalid_argument("EncryptionType must be KMS."));
    }
    let until = call.now.plus(call.config.transitions.update);
    account.active_stream(call, wanted.stream_name, wanted.stream_arn)?.update(change, call.now, until);
    Ok(Response::Empty)
}
