//! Reads request bodies within bounds: of one body, of all bodies together, and of the time that one acquires.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::MAX_BODY;

/// A body that is too large is read and dropped up to here, because a client that is still sending sees a reset connection instead
/// of the answer. A larger one is refused without reading it.
const MOST_DROPPED: usize = 2 * MAX_BODY;
/// What all bodies together may occupy.
const MOST_HELD: usize = 16 * MAX_BODY;
/// A body that acquires longer belongs to a client that has stopped.
const DEADLINE: Duration = Duration::from_secs(30);

/// The bytes that are left for bodies.
#[derive(Clone, Debug)]
pub(super) struct Intake(Arc<Semaphore>);

/// A body, and its share of the bytes that all may have.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) body: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    /// Too many others are being read.
    NoRoom,
    TooSlow,
    Broken,
}

impl Default for Intake {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_HELD)))
    }
}

impl Intake {
    pub(super) async fn read(&self, body: Body) -> Result<Held, Unread> {
        tokio::time::timeout(DEADLINE, self.collect(body)).await.unwrap_or(Err(Unread::TooSlow))
    }

    /// What is declared occupies nothing: only what has come is kept, and counted.
    async fn collect(&self, mut body: Body) -> Result<Held, Unread> {
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > MOST_DROPPED {
            return Err(Unread::TooLarge);
        }
        let (mut whole, mut come, mut share) = (Vec::new(), 0_usize, None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            come = come.saturating_add(data.len());
            if come > MOST_DROPPED {
                return Err(Unread::TooLarge);
            }
            if come.max(declared) > MAX_BODY {
                (whole, share) = (Vec::new(), None);
                continue;
            }
            let more = u32::try_from(data.len()).map_err(|_| Unread::TooLarge)?;
            let more = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Unread::NoRoom)?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            whole.extend_from_slice(&data);
        }
        if come > MAX_BODY { Err(Unread::TooLarge) } else { Ok(Held { body: whole.into(), _share: share }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, StreamExt as _};
    use http_body::{Frame, SizeHint};
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Declares a length and sends nothing.
    struct Declared(u64);

    impl http_body::Body for Declared {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    fn chunks(count: usize, bytes: usize) -> Body {
        Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(Bytes::from(vec![0; bytes])); count]))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_declared_to_be_far_too_large_is_refused_unread_and_what_never_comes_has_a_deadline() {
        let intake = Intake::default();
        assert_eq!(intake.read(Body::new(Declared(1 << 30))).await.unwrap_err(), Unread::TooLarge);
        let began = tokio::time::Instant::now();
        assert_eq!(intake.read(Body::new(Declared(1 << 20))).await.unwrap_err(), Unread::TooSlow);
        assert_eq!(began.elapsed(), DEADLINE);
        assert_eq!(intake.0.available_permits(), MOST_HELD, "nothing is held for them");
    }

    #[tokio::test]
    async fn a_body_without_a_length_ends_where_it_gets_too_large() {
        let intake = Intake::default();
        let whole = intake.read(chunks(16, MAX_BODY / 16)).await.unwrap();
        assert_eq!(whole.body.len(), MAX_BODY);
        assert_eq!(intake.read(chunks(17, MAX_BODY / 16)).await.unwrap_err(), Unread::TooLarge);
        let endless = stream::repeat(Bytes::from(vec![0; MAX_BODY / 16])).map(Ok::<_, Infallible>);
        assert_eq!(intake.read(Body::from_stream(endless)).await.unwrap_err(), Unread::TooLarge);
        assert_eq!(intake.0.available_permits(), MOST_HELD - MAX_BODY);
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let intake = Intake::default();
        let mut held = Vec::new();
        for _ in 0..16 {
            held.push(intake.read(chunks(1, MAX_BODY)).await.unwrap());
        }
        assert_eq!(intake.read(chunks(1, 1)).await.unwrap_err(), Unread::NoRoom);
        held.pop();
        assert_eq!(intake.read(chunks(1, 1)).await.unwrap().body.len(), 1);
    }
}
