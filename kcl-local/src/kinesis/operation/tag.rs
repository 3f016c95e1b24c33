//! Adds, removes and lists tags of streams and consumers.

use std::collections::BTreeMap;

use super::description::page;
use crate::kinesis::account::{Account, Call, not_active};
use crate::kinesis::address::{Resource, StreamTarget};
use crate::kinesis::constraint::{Constraints, RESOURCE_ARN, TAG_KEY};
use crate::kinesis::model::{
    AddTagsToStreamInput, ApiError, ListTagsForResourceInput, ListTagsForResourceOutput, ListTagsForStreamInput,
    ListTagsForStreamOutput, RemoveTagsFromStreamInput, Response, StreamStatus, Tag, TagResourceInput,
    UntagResourceInput,
};
use crate::kinesis::stream::Stream;

/// AWS: maximum number of tags of a resource.
const MAX_TAGS: usize = 50;

type Tags = BTreeMap<String, String>;

fn add(tags: &mut Tags, more: Tags) -> Result<Response, ApiError> {
    let new = more.keys().filter(|key| !tags.contains_key(*key)).count();
    if tags.len() + new > MAX_TAGS {
        return Err(ApiError::invalid_argument(format!(
            "A resource may have at most {MAX_TAGS} tags: this one has {}, and {new} more were given.",
            tags.len()
        )));
    }
    tags.extend(more);
    Ok(Response::Empty)
}

fn describe((key, value): (&String, &String)) -> Tag {
    Tag { key: key.clone(), value: value.clone() }
}

/// AWS refuses to change the tags of a stream in `CREATING` or `DELETING`.
fn taggable<'a>(stream: &'a mut Stream, call: &Call<'_>) -> Result<&'a mut Stream, ApiError> {
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating => Ok(stream),
        StreamStatus::Creating | StreamStatus::Deleting => Err(not_active(call, stream)),
    }
}

pub(super) fn add_to_stream(
    account: &mut Account,
    call: &Call<'_>,
    input: AddTagsToStreamInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.required("tags", input.tags.as_ref());
    constraints.tags(input.tags.iter().flatten());
    constraints.check()?;
    let stream = account.stream(call, target)?;
    add(&mut taggable(stream, call)?.tags, input.tags.unwrap_or_default())
}

pub(super) fn remove_from_stream(
    account: &mut Account,
    call: &Call<'_>,
    input: &RemoveTagsFromStreamInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let keys = check_keys(&mut constraints, input.tag_keys.as_ref());
    constraints.check()?;
    let stream = account.stream(call, target)?;
    taggable(stream, call)?.tags.retain(|key, _| !keys.contains(key));
    Ok(Response::Empty)
}

fn check_keys<'a>(constraints: &mut Constraints, keys: Option<&'a Vec<String>>) -> &'a [String] {
    let keys = constraints.required("tagKeys", keys).map_or(&[][..], Vec::as_slice);
    constraints.length("tagKeys", keys.len(), 1, MAX_TAGS);
    for (index, key) in (1..).zip(keys) {
        constraints.text(&format!("tagKeys.{index}.member"), Some(key), &TAG_KEY);
    }
    keys
}

pub(super) fn list_for_stream(
    account: &mut Account,
    call: &Call<'_>,
    input: &ListTagsForStreamInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.text("exclusiveStartTagKey", input.exclusive_start_tag_key.as_deref(), &TAG_KEY);
    constraints.number("limit", input.limit, 1, 50);
    constraints.check()?;
    let stream = account.stream(call, target)?;
    let after = |key: &String| input.exclusive_start_tag_key.as_ref().is_none_or(|start| key > start);
    let size = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_TAGS);
    let (tags, has_more_tags) = page(stream.tags.iter().filter(|(key, _)| after(key)).map(describe), size);
    Ok(Response::ListTagsForStream(ListTagsForStreamOutput { tags, has_more_tags }))
}

/// The tags of the stream or consumer with this ARN.
fn of_resource<'a>(
    account: &'a mut Account,
    call: &Call<'_>,
    arn: &str,
    write: bool,
) -> Result<&'a mut Tags, ApiError> {
    let resource = Resource::parse(call.scope, arn)?;
    let stream = account.named(call, resource.stream)?;
    match resource.consumer {
        Some(consumer) => {
            let found = stream.consumers.by_arn_mut(consumer).map(|consumer| &mut consumer.tags);
            found.ok_or_else(|| ApiError::not_found(format!("{arn} does not exist.")))
        }
        None if write => taggable(stream, call).map(|stream| &mut stream.tags),
        None => Ok(&mut stream.tags),
    }
}

pub(super) fn tag(account: &mut Account, call: &Call<'_>, input: TagResourceInput) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    constraints.required("tags", input.tags.as_ref());
    constraints.tags(input.tags.iter().flatten());
    constraints.check()?;
    add(of_resource(account, call, arn, true)?, input.tags.unwrap_or_default())
}

pub(super) fn untag(account: &mut Account, call: &Call<'_>, input: &UntagResourceInput) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    let keys = check_keys(&mut constraints, input.tag_keys.as_ref());
    constraints.check()?;
    of_resource(account, call, arn, true)?.retain(|key, _| !keys.contains(key));
    Ok(Response::Empty)
}

pub(super) fn list_for_resource(
    account: &mut Account,
    call: &Call<'_>,
    input: &ListTagsForResourceInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    constraints.check()?;
    let tags = of_resource(account, call, arn, false)?.iter().map(describe).collect();
    Ok(Response::ListTagsForResource(ListTagsForResourceOutput { tags }))
}
