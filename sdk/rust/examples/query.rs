//! Runs SQL and prints what comes back: `query ADDRESS KEY SECRET 'SELECT …;'`.

use millstream_rust::{Client, Credentials, SqlAnswer};
use std::collections::BTreeMap;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, key, secret, text] = arguments.as_slice() else {
        return Err("usage: query ADDRESS KEY SECRET SQL".into());
    };
    let client = Client::connect(address, Credentials::key(key, secret))?;
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    let mut answers = client.sql(text, &properties).await?;
    while let Some(answer) = answers.next_answer().await? {
        match answer {
            SqlAnswer::Message { text, .. } => println!("{text}"),
            SqlAnswer::Rows(batch) => println!("{} rows of {:?}", batch.num_rows(), batch.schema().fields()),
            _ => {}
        }
    }
    Ok(())
}
