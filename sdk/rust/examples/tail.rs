//! Prints a topic's last records and then every new one: `tail ADDRESS KEY SECRET TOPIC`.

use millstream_rust::{Client, ConsumerSettings, Credentials, Position, Start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, key, secret, topic] = arguments.as_slice() else {
        return Err("usage: tail ADDRESS KEY SECRET TOPIC".into());
    };
    let client = Client::connect(address, Credentials::key(key, secret))?;
    let partitions: Vec<u32> = (0..client.admin().get_topic(topic).await?.partitions).collect();
    let ends = client.list_offsets(topic, &partitions, Position::Latest).await?;
    let starts = client
        .list_offsets(topic, &partitions, Position::Earliest)
        .await?;
    let offsets = ends
        .iter()
        .zip(starts)
        .map(|(end, start)| start.max(end - 5))
        .collect();
    let mut consumer = client.consumer(ConsumerSettings::new(topic, Start::Offsets(offsets)));
    loop {
        let record = consumer.next().await?;
        let value = record
            .value
            .as_deref()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        println!("{}:{} {value}", record.partition, record.offset);
    }
}
