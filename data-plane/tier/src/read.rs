//! Reading runs back: find blocks in the footer, take them from the cache or fetch them in one range, check them.

use crate::calls::Opened;
use crate::check::is_intact;
use crate::error::TierError;
use crate::footer::{Block, Footer, Run, TRAILER_BYTES, Trailer};
use crate::name::ObjectKind;
use crate::tier::{Inner, Tier};
use bytes::Bytes;
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{Offset, TimestampMs};
use object_store::GetRange;
use object_store::path::Path;
use std::ops::Range;
use std::sync::Arc;

/// Some consecutive blocks of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRun {
    /// Whole batches, one after another; a block's last batch ends where the block ends.
    pub blocks: Vec<Bytes>,
    /// The first offset of the first block; at most the offset that was asked for, unless the run starts above it.
    pub base_offset: Offset,
    /// Where to read on: the first offset of the next block, or the run's end.
    pub end_offset: Offset,
}

/// Bytes that were not in the block cache.
pub(crate) enum Fetched {
    /// From a file of this machine: the system caches those.
    FromFile(Bytes),
    FromStore(Bytes),
}

impl Fetched {
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Fetched::FromFile(bytes) | Fetched::FromStore(bytes) => bytes,
        }
    }
}

impl ReadRun {
    /// Bytes in all blocks.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Bytes::len).sum()
    }
}

impl Tier {
    /// Reads from the block that holds `from` on: at least one block, further ones while all fit in `bytes_max`.
    /// Nothing at or above the run's end. A damaged block behind the first one ends what is read.
    ///
    /// # Errors
    /// [`TierError::NotFound`] when the object was collected since; else when the store fails or what it returns is
    /// damaged.
    pub async fn read(
        &self,
        segment: &SegmentRef,
        from: Offset,
        bytes_max: usize,
    ) -> Result<ReadRun, TierError> {
        let footer = self.footer(segment).await?;
        let run = self.run(&footer, segment)?;
        if from >= run.end_offset {
            return Ok(ReadRun {
                blocks: Vec::new(),
                base_offset: run.end_offset,
                end_offset: run.end_offset,
            });
        }
        let after = run.blocks.partition_point(|block| block.base_offset <= from);
        self.read_blocks(&segment.object, run, after.saturating_sub(1), bytes_max)
            .await
    }

    /// Reads from the first block that has a record of `time` or later; none when the run has no such record.
    ///
    /// # Errors
    /// As [`Tier::read`].
    pub async fn read_since(
        &self,
        segment: &SegmentRef,
        time: TimestampMs,
        bytes_max: usize,
    ) -> Result<Option<ReadRun>, TierError> {
        let footer = self.footer(segment).await?;
        let run = self.run(&footer, segment)?;
        let Some(first) = run.blocks.iter().position(|block| block.timestamp_max >= time) else {
            return Ok(None);
        };
        self.read_blocks(&segment.object, run, first, bytes_max)
            .await
            .map(Some)
    }

    async fn read_blocks(
        &self,
        object: &ObjectRef,
        run: &Run,
        first: usize,
        bytes_max: usize,
    ) -> Result<ReadRun, TierError> {
        let mut position = run.position
            + run
                .blocks
                .iter()
                .take(first)
                .map(|block| u64::from(block.length))
                .sum::<u64>();
        let mut wanted: Vec<(u64, Block, Option<Bytes>)> = Vec::new();
        let mut total = 0usize;
        for block in run.blocks.iter().skip(first) {
            total = total.saturating_add(block.length as usize);
            if !wanted.is_empty() && total > bytes_max {
                break;
            }
            wanted.push((
                position,
                *block,
                self.inner.blocks.get(&(*object, position)).await,
            ));
            position += u64::from(block.length);
        }
        self.fetch_missing(object, &mut wanted, bytes_max).await?;
        assert!(
            wanted.iter().all(|(_, _, bytes)| bytes.is_some()),
            "bug: all are there"
        );
        let next = first + wanted.len();
        Ok(ReadRun {
            base_offset: run
                .blocks
                .get(first)
                .map_or(run.end_offset, |block| block.base_offset),
            end_offset: run
                .blocks
                .get(next)
                .map_or(run.end_offset, |block| block.base_offset),
            blocks: wanted.into_iter().filter_map(|(_, _, bytes)| bytes).collect(),
        })
    }

    /// Fetches what the cache lacks, from the first missing block to the last, with one call. What precedes a damaged
    /// block is whole, and kept: only who wants that block itself meets the damage.
    async fn fetch_missing(
        &self,
        object: &ObjectRef,
        wanted: &mut Vec<(u64, Block, Option<Bytes>)>,
        bytes_max: usize,
    ) -> Result<(), TierError> {
        let missing = |entry: &&(u64, Block, Option<Bytes>)| entry.2.is_none();
        let Some(start) = wanted.iter().find(missing).map(|entry| entry.0) else {
            return Ok(());
        };
        let last = wanted.iter().rev().find(missing);
        let end = last.map_or(start, |(position, block, _)| position + u64::from(block.length));
        let name = self.name(ObjectKind::Segment, object);
        let fetched = self.range(object, &name, start..end).await?;
        for place in 0..wanted.len() {
            let (position, block, bytes) = &mut wanted[place];
            if bytes.is_some() {
                continue;
            }
            let found = match checked(fetched.bytes(), *position - start, block) {
                Ok(found) => found,
                Err(what) => {
                    // Whoever puts a good copy in its place puts another file there.
                    self.inner.files.forget(object).await;
                    if place > 0 {
                        wanted.truncate(place);
                        return Ok(());
                    }
                    let name = name.to_string();
                    return Err(TierError::Corrupt { name, what });
                }
            };
            let key = (*object, *position);
            *bytes = Some(match &fetched {
                Fetched::FromFile(_) if block.length as usize <= bytes_max => found,
                // Who takes less than a block comes back for the rest of it; it was read alone.
                Fetched::FromFile(_) => self.keep_block(key, found).await,
                // A copy, so that a cached block does not hold its neighbours' memory.
                Fetched::FromStore(_) => self.keep_block(key, Bytes::copy_from_slice(&found)).await,
            });
        }
        Ok(())
    }

    async fn keep_block(&self, key: (ObjectRef, u64), block: Bytes) -> Bytes {
        self.inner.blocks.insert(key, block.clone()).await;
        block
    }

    /// Some bytes of an object, with at most one call to the store; fewer where the object ends before.
    pub(crate) async fn range(
        &self,
        object: &ObjectRef,
        name: &Path,
        range: Range<u64>,
    ) -> Result<Fetched, TierError> {
        let Inner { calls, files, .. } = &*self.inner;
        let file = match files.get(object).await {
            Some(file) => file,
            None => match calls.open(name, range.clone()).await? {
                Opened::Bytes(bytes) => return Ok(Fetched::FromStore(bytes)),
                Opened::File(file) => files.keep(object, file).await,
            },
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if let Some(bytes) = files.read_now(&file, range.start, length) {
            return Ok(Fetched::FromFile(bytes));
        }
        let read = || files.read(&file, range.start, length);
        calls.read_file(name, read).await.map(Fetched::FromFile)
    }

    /// The run that the log remembers, as the object has it.
    pub(crate) fn run<'a>(&self, footer: &'a Footer, segment: &SegmentRef) -> Result<&'a Run, TierError> {
        let same = |run: &&Run| {
            run.length == segment.length
                && run.checksum == segment.checksum
                && run.base_offset == segment.base_offset
                && run.end_offset == segment.end_offset
        };
        footer
            .run_at(segment.position)
            .filter(same)
            .ok_or_else(|| TierError::Corrupt {
                name: self.name(ObjectKind::Segment, &segment.object).to_string(),
                what: "it has no such run",
            })
    }

    /// The object's footer. Many readers at once cause one read.
    pub(crate) async fn footer(&self, segment: &SegmentRef) -> Result<Arc<Footer>, TierError> {
        let object = segment.object;
        let found = self
            .inner
            .footers
            .try_get_with(object, self.read_footer(&object))
            .await;
        found.map_err(|error: Arc<TierError>| error.as_ref().clone())
    }

    async fn read_footer(&self, object: &ObjectRef) -> Result<Arc<Footer>, TierError> {
        let name = self.name(ObjectKind::Segment, object);
        let corrupt = |what| TierError::Corrupt {
            name: name.to_string(),
            what,
        };
        let guess = self.settings().footer_guess_bytes.max(TRAILER_BYTES as u64);
        let end = self.inner.calls.get(&name, GetRange::Suffix(guess)).await?;
        let trailer = Trailer::decode(&end.bytes).map_err(corrupt)?;
        let whole = trailer.footer_bytes + TRAILER_BYTES;
        if whole as u64 > end.object_bytes {
            return Err(corrupt("the footer is longer than the object"));
        }
        let bytes = if whole <= end.bytes.len() {
            end.bytes
        } else {
            self.inner
                .calls
                .get(&name, GetRange::Suffix(whole as u64))
                .await?
                .bytes
        };
        if bytes.len() < whole {
            return Err(corrupt("the footer ends early"));
        }
        let from = bytes.len() - whole;
        let footer = bytes.slice(from..from + trailer.footer_bytes);
        Footer::decode(footer, trailer).map(Arc::new).map_err(corrupt)
    }
}

/// The block at this place of what was fetched, if it is what was written.
pub(crate) fn checked(fetched: &Bytes, at: u64, block: &Block) -> Result<Bytes, &'static str> {
    let at = usize::try_from(at).map_err(|_| "a run is too long")?;
    let to = at + block.length as usize;
    if to > fetched.len() {
        return Err("it ends before the run does");
    }
    let bytes = fetched.slice(at..to);
    if is_intact(&bytes, block.checksum) {
        Ok(bytes)
    } else {
        Err("a block's checksum does not fit")
    }
}
