//! Other people's clients: where they are, and what happens when one is missing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a client program may run.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder that the test command installs clients into.
fn installed() -> PathBuf {
    if let Ok(folder) = std::env::var("MILLSTREAM_TOOLS") {
        return folder.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|it| it.is_absolute());
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("millstream/tools")
}

/// Says that a client is missing: fails in CI, elsewhere leaves the test out and says so.
fn missing(what: &str) {
    let line = format!("left out: {what} is not installed; ./check installs it");
    if std::env::var("CI").is_ok_and(|it| !it.is_empty() && it != "false") {
        panic!("{line}");
    }
    leave_out(&line);
}

/// Says aloud (past the test harness' capture) that a test did not run, and notes it for the end of `./check`.
pub fn leave_out(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(file) = std::env::var_os("MILLSTREAM_LEFT_OUT")
        && let Ok(mut file) = std::fs::File::options().create(true).append(true).open(file)
    {
        let _ = writeln!(file, "{line}");
    }
}

/// A program by name: on the path, or installed beside the other tools.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(installed().join("bin"));
    let found = folders
        .into_iter()
        .map(|it| it.join(name))
        .find(|it| it.is_file());
    if found.is_none() {
        missing(name);
    }
    found
}

/// A program that the test command builds with everything else, and a single test's command does not.
pub fn built(program: &Path) -> Option<PathBuf> {
    if program.is_file() {
        return Some(program.to_owned());
    }
    missing(&program.display().to_string());
    None
}

/// Python with the packages of `tests/e2e/requirements.txt`.
pub fn python() -> Option<PathBuf> {
    let python = installed().join("python/bin/python3");
    if python.is_file() {
        return Some(python);
    }
    missing("the Python environment");
    None
}

/// The folder with Kafka's Java client.
pub fn jars() -> Option<PathBuf> {
    let jars = installed().join("java");
    let found = std::fs::read_dir(&jars).is_ok_and(|mut it| it.next().is_some());
    if !found {
        missing("Kafka's Java client");
    }
    found.then_some(jars)
}

/// A file of `tests/e2e`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name)
}

/// A Python script of `tests/e2e/clients`, ready to be given arguments.
pub fn script(name: &str) -> Option<Command> {
    let mut command = Command::new(python()?);
    command
        .arg("-u")
        .arg(source("clients").join(name))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// The compiled power-loss machine, or none where the machine cannot have it.
pub fn powerloss(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("powerloss");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source("powerloss.c"))
        .output();
    match built {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "powerloss.c does not compile:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => {
            leave_out(&format!(
                "left out: power loss, for there is no C compiler ({error})"
            ));
            return None;
        }
    }
    let probe = Command::new(&program)
        .arg(folder)
        .arg(folder.join("probe"))
        .args(["0", "/bin/true"])
        .output();
    match probe {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            leave_out(&format!(
                "left out: power loss, the kernel does not offer it ({})",
                output.status
            ));
            None
        }
        Err(error) => panic!("{}: {error}", program.display()),
    }
}

/// Runs a client to its end, which has to come; it may fail.
pub fn run(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let id = child.id();
    let done = std::thread::spawn(move || child.wait_with_output());
    let begun = Instant::now();
    while !done.is_finished() {
        if begun.elapsed() > PATIENCE {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            let output = done.join().unwrap().unwrap();
            panic!("{command:?} did not end:\n{}", both(&output));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    done.join().unwrap().unwrap()
}

/// Runs a client that has to work; its standard output.
pub fn run_ok(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        both(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn both(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A client that runs beside the test; killed when dropped.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running {
            child: command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "a client did not end within {PATIENCE:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
