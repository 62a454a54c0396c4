//! Following images: only forward.

#![allow(clippy::unwrap_used)]

use millstream_metadata::{Change, ClusterRow, Image, ImageWatch, Row};
use std::sync::Arc;

fn image(term: u64, version: u64) -> Image {
    let mut image = Image::new();
    image.apply(&Change::Put(Row::Cluster(Arc::new(ClusterRow {
        term,
        version,
        ..ClusterRow::default()
    }))));
    image
}

/// log.md 36: every message of a controller carries (term, version), and lower terms are ignored.
#[test]
fn what_a_controller_says_after_its_overthrow_is_ignored() {
    let (publisher, watch) = ImageWatch::channel(image(2, 10));
    let steps = [
        (image(2, 11), (2, 11)),
        (image(3, 12), (3, 12)),
        // The one of term 2 has gone on counting.
        (image(2, 99), (3, 12)),
        (image(3, 11), (3, 12)),
        (image(3, 13), (3, 13)),
    ];
    for (published, newest) in steps {
        publisher.publish(published);
        let image = watch.image();
        assert_eq!((image.term(), image.version()), newest);
    }
    publisher.publish(watch.image().as_stale());
    assert!(watch.image().is_stale(), "the same one may be told anew");
}
