//! Committed changes that the durable layer does not have yet: in the changelog only, or on their way.

use crate::StateWrite;
use crate::changelog::Changed;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last value of each changed key; `None` for one that was removed.
pub type Layer = BTreeMap<Bytes, Option<Bytes>>;

/// Two layers over the durable one.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Since the last flush began.
    newer: Layer,
    /// Bytes of its keys and values.
    bytes: usize,
    /// What a flush takes along.
    flushing: Option<Arc<Layer>>,
}

impl Layers {
    /// A committed change.
    pub fn put(&mut self, (key, value): Changed) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        self.bytes += key.len() + size(&value);
        let key_bytes = key.len();
        if let Some(old) = self.newer.insert(key, value) {
            self.bytes -= key_bytes + size(&old);
        }
    }

    /// Bytes that wait for a flush.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits for a flush.
    pub fn is_empty(&self) -> bool {
        self.newer.is_empty()
    }

    /// A flush begins with what waits.
    pub fn begin_flush(&mut self) -> Arc<Layer> {
        assert!(self.flushing.is_none(), "bug: one flush at a time");
        self.bytes = 0;
        let taken = Arc::new(std::mem::take(&mut self.newer));
        self.flushing = Some(taken.clone());
        taken
    }

    /// The flush is durable.
    pub fn flushed(&mut self) {
        self.flushing = None;
    }

    /// The flush failed: what it took waits again, below what came since.
    pub fn unflushed(&mut self) {
        let Some(taken) = self.flushing.take() else {
            return;
        };
        let newer = std::mem::take(&mut self.newer);
        self.bytes = 0;
        let older = Arc::unwrap_or_clone(taken);
        for change in older.into_iter().chain(newer) {
            self.put(change);
        }
    }

    /// What the durable layer answered for a prefix, as it is with what it does not have yet; in key order.
    pub fn over(&self, prefix: &[u8], durable: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes)> {
        let mut rows: BTreeMap<Bytes, Bytes> = durable.into_iter().collect();
        let layers = self.flushing.iter().map(Arc::as_ref).chain([&self.newer]);
        for layer in layers {
            let from = layer.range(Bytes::copy_from_slice(prefix)..);
            for (key, value) in from.take_while(|(key, _)| key.starts_with(prefix)) {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        rows.into_iter().collect()
    }
}

impl StateWrite {
    /// As the layers keep it.
    pub fn shared(self) -> Changed {
        (Bytes::from(self.key), self.value.map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use super::Layers;
    use bytes::Bytes;

    fn put(layers: &mut Layers, key: &str, value: Option<&str>) {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        layers.put((bytes(key), value.map(bytes)));
    }

    fn seen(layers: &Layers) -> Vec<(String, String)> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let durable = [("a1", "d"), ("a2", "d"), ("a3", "d")].map(|(key, value)| {
            (
                Bytes::from_static(key.as_bytes()),
                Bytes::from_static(value.as_bytes()),
            )
        });
        let rows = layers.over(b"a", durable.to_vec());
        rows.into_iter()
            .map(|(key, value)| (text(key), text(value)))
            .collect()
    }

    #[test]
    fn newer_lies_over_flushing_over_durable() {
        let mut layers = Layers::default();
        put(&mut layers, "a1", None);
        put(&mut layers, "a2", Some("f"));
        put(&mut layers, "b", Some("other"));
        layers.begin_flush();
        assert!(layers.is_empty());
        put(&mut layers, "a1", Some("n"));
        put(&mut layers, "a4", Some("n"));
        put(&mut layers, "a3", None);
        let all = [("a1", "n"), ("a2", "f"), ("a4", "n")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(seen(&layers), all);
        // A flush that failed loses nothing and takes nothing back.
        layers.unflushed();
        assert_eq!(seen(&layers), all);
        assert_eq!(layers.bytes(), 3 + 3 + 6 + 3 + 2);
        layers.begin_flush();
        assert_eq!(seen(&layers), all);
        layers.flushed();
        assert_eq!(seen(&layers).len(), 3, "the durable layer alone");
    }
}
