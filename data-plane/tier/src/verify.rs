//! Reading a segment whole, past the block cache, to say which of its blocks are not what was written.

use crate::error::TierError;
use crate::footer::Block;
use crate::name::ObjectKind;
use crate::read::checked;
use crate::tier::Tier;
use millstream_model::Offset;
use millstream_model::segment::SegmentRef;

/// Bytes read with one call: whole blocks, of which the largest batch may be one.
const READ_BYTES: u64 = 8 * 1024 * 1024;

/// Offsets of a segment that cannot be read as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The first.
    pub base_offset: Offset,
    /// One past the last.
    pub end_offset: Offset,
    /// What is wrong.
    pub what: String,
}

impl Tier {
    /// Reads every block of a segment and holds it against its checksum; returns what is damaged or missing, in order.
    ///
    /// # Errors
    /// When the store cannot say: it is down, or refuses.
    pub async fn verify(&self, segment: &SegmentRef) -> Result<Vec<DamagedRange>, TierError> {
        let whole = |what: String| {
            vec![DamagedRange {
                base_offset: segment.base_offset,
                end_offset: segment.end_offset,
                what,
            }]
        };
        let footer = match self.footer(segment).await {
            Ok(footer) => footer,
            Err(error) => return of_object(error).map(whole),
        };
        let run = match self.run(&footer, segment) {
            Ok(run) => run,
            Err(error) => return of_object(error).map(whole),
        };
        let (mut damaged, mut position) = (Vec::new(), run.position);
        let mut next = 0;
        while next < run.blocks.len() {
            let blocks = some_of(&run.blocks[next..]);
            next += blocks.len();
            let end_offset = run
                .blocks
                .get(next)
                .map_or(run.end_offset, |block| block.base_offset);
            match self.verify_blocks(segment, position, blocks, end_offset).await {
                Ok(found) => damaged.extend(found),
                Err(error) => return of_object(error).map(whole),
            }
            position += length_of(blocks);
        }
        Ok(damaged)
    }

    async fn verify_blocks(
        &self,
        segment: &SegmentRef,
        start: u64,
        blocks: &[Block],
        end_offset: Offset,
    ) -> Result<Vec<DamagedRange>, TierError> {
        let name = self.name(ObjectKind::Segment, &segment.object);
        let bytes = self
            .range(&segment.object, &name, start..start + length_of(blocks))
            .await?;
        let (mut damaged, mut at) = (Vec::new(), 0);
        for (index, block) in blocks.iter().enumerate() {
            if let Err(what) = checked(bytes.bytes(), at, block) {
                damaged.push(DamagedRange {
                    base_offset: block.base_offset,
                    end_offset: blocks.get(index + 1).map_or(end_offset, |next| next.base_offset),
                    what: what.to_owned(),
                });
            }
            at += u64::from(block.length);
        }
        Ok(damaged)
    }
}

/// What an error says about the object, if it is about that and not about the store.
fn of_object(error: TierError) -> Result<String, TierError> {
    match error {
        TierError::NotFound { .. } => Ok("the object is not in the store".to_owned()),
        TierError::Corrupt { what, .. } => Ok(what.to_owned()),
        error => Err(error),
    }
}

/// The first blocks, at least one, that are read with one call.
fn some_of(blocks: &[Block]) -> &[Block] {
    let mut bytes = 0;
    let fits = |block: &&Block| {
        bytes += u64::from(block.length);
        bytes <= READ_BYTES
    };
    let count = blocks.iter().take_while(fits).count();
    &blocks[..count.max(1)]
}

fn length_of(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| u64::from(block.length)).sum()
}
