//! What can be done next: lines to copy into another terminal.

use super::Service;
use crate::connection::Connection;
use std::path::Path;

/// The lines, for a service that serves on.
pub(super) fn next_steps(service: &Service, connection: &Connection) -> String {
    let (kafka, http) = (&service.kafka, &service.http);
    let Connection { key, secret, .. } = connection;
    let millstream = this_program();
    format!(
        "
The service goes on; Ctrl-C drains and stops it. In another terminal, in this folder:

# kcat
kcat -b {kafka} -X security.protocol=SASL_PLAINTEXT -X sasl.mechanisms=PLAIN \\
     -X sasl.username={key} -X sasl.password={secret} -C -t flights -o -5 -e

# the SQL shell (then, for instance: SELECT * FROM late_flights EMIT CHANGES LIMIT 5;)
{millstream} sql --address {http} --key {key} --secret={secret} \\
     --set auto.offset.reset=earliest

# Python (pip install confluent-kafka)
python3 -c 'from confluent_kafka import Consumer
c = Consumer({{\"bootstrap.servers\": \"{kafka}\", \"security.protocol\": \"SASL_PLAINTEXT\", \"sasl.mechanisms\": \"PLAIN\",
  \"sasl.username\": \"{key}\", \"sasl.password\": \"{secret}\", \"group.id\": \"me\", \"auto.offset.reset\": \"earliest\"}})
c.subscribe([\"flights\"])
for _ in range(5): print(c.poll(10).value().decode())
c.close()'

# the Rust SDK (its source: sdk/rust/examples/tail.rs)
cargo run --quiet --example sdk-tail -- {http} {key} {secret} flights
"
    )
}

/// How this program is called from the folder where it was started, quoted for a shell where need be.
fn this_program() -> String {
    let Ok(program) = std::env::current_exe() else {
        return "millstream".into();
    };
    let here = std::env::current_dir().unwrap_or_default();
    called_from(&program, &here)
}

fn called_from(program: &Path, here: &Path) -> String {
    let short = program.strip_prefix(here).ok();
    let text = match short.map(|it| it.display().to_string()) {
        // A bare name would be looked for on the path.
        Some(text) if !text.contains('/') => format!("./{text}"),
        Some(text) => text,
        None => program.display().to_string(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::called_from;
    use std::path::Path;

    #[test]
    fn the_program_is_named_so_that_a_shell_finds_it() {
        let table = [
            ("/a/b/target/debug/millstream", "/a/b", "target/debug/millstream"),
            ("/a/b/millstream", "/a/b", "./millstream"),
            ("/usr/bin/millstream", "/a/b", "/usr/bin/millstream"),
            ("/a c/it's", "/b", "'/a c/it'\\''s'"),
        ];
        for (program, here, called) in table {
            assert_eq!(called_from(Path::new(program), Path::new(here)), called);
        }
    }
}
