//! Sends a thousand records with an idempotent producer: `produce ADDRESS KEY SECRET TOPIC`.

use futures::future::try_join_all;
use millstream_rust::{Client, Credentials, ProducerSettings, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, key, secret, topic] = arguments.as_slice() else {
        return Err("usage: produce ADDRESS KEY SECRET TOPIC".into());
    };
    let client = Client::connect(address, Credentials::key(key, secret))?;
    let producer = client.producer(ProducerSettings::default());
    let mut deliveries = Vec::new();
    for number in 0..1000 {
        let record = Record::new()
            .key(format!("key-{}", number % 10))
            .value(format!("value {number}"));
        deliveries.push(producer.enqueue(topic, record).await?);
    }
    let delivered = try_join_all(deliveries).await?;
    println!("{} records are on disk", delivered.len());
    Ok(())
}
