//! Downloading data sets into a cache folder.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use ureq::Agent;

use super::DataError;

/// Where the authors of CIFAR-10 publish it; a mirror serves the same file elsewhere.
pub const CIFAR10_BASE_URL: &str = "https://www.cs.toronto.edu/~kriz";

struct Archive {
    file: &'static str,
    /// The folder that the archive holds.
    folder: &'static str,
    bytes: u64,
    sha256: String,
}

/// The archive whose MD5 is given as c32a1d4ab5d03f1284b67883e8d87530 by its authors. SHA-256
/// instead, as TensorFlow Datasets records it, because MD5 does not stop a forgery.
fn cifar10() -> Archive {
    Archive {
        file: "cifar-10-binary.tar.gz",
        folder: "cifar-10-batches-bin",
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd".to_owned(),
    }
}

/// Downloads and unpacks the binary version of CIFAR-10 into the folder `cache`, which is made if
/// need be, and returns the folder to give to [`open`](super::open()).
///
/// Nothing is downloaded where that folder is already there. The archive is
/// `{base_url}/cifar-10-binary.tar.gz` (see [`CIFAR10_BASE_URL`]), 162 MiB. `progress` is called
/// with the bytes received so far and, where the server says it, their total.
///
/// # Errors
///
/// [`DataError::Download`] where the server cannot be reached or answers with an error,
/// [`DataError::Checksum`] where it sends another file, and [`DataError::Io`] where the cache
/// cannot be written. After an error the cache is as it was.
pub fn fetch_cifar10(
    cache: &Path,
    base_url: &str,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<PathBuf, DataError> {
    // A transfer may take long, but not long without a byte.
    let agent = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build();
    Fetch { agent: agent.into(), archive: cifar10(), cache, base_url }.run(progress)
}

/// The folder for this crate's downloads that the platform's conventions name, such as
/// `~/.cache/l2rw` on Linux. It is not made here.
///
/// # Errors
///
/// [`DataError::NoCacheFolder`] where the user has no home folder.
pub fn default_cache_dir() -> Result<PathBuf, DataError> {
    let dirs = directories::ProjectDirs::from("", "", "l2rw").ok_or(DataError::NoCacheFolder)?;
    Ok(dirs.cache_dir().to_owned())
}

struct Fetch<'a> {
    agent: Agent,
    archive: Archive,
    cache: &'a Path,
    base_url: &'a str,
}

impl Fetch<'_> {
    fn run(&self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<PathBuf, DataError> {
        let target = self.cache.join(self.archive.folder);
        if target.is_dir() {
            return Ok(target);
        }
        std::fs::create_dir_all(self.cache).map_err(io(self.cache, "create"))?;
        // In the cache, so that the last step is a rename on one file system; whatever happens
        // before it goes away with this folder.
        let work = tempfile::Builder::new()
            .prefix(".download-")
            .tempdir_in(self.cache)
            .map_err(io(self.cache, "write in"))?;
        let packed = work.path().join(self.archive.file);
        self.download(&packed, progress)?;
        let unpacked = work.path().join("unpacked");
        let reader = File::open(&packed).map_err(io(&packed, "open"))?;
        let mut tar = tar::Archive::new(GzDecoder::new(std::io::BufReader::new(reader)));
        tar.unpack(&unpacked).map_err(io(&packed, "unpack"))?;
        match std::fs::rename(unpacked.join(self.archive.folder), &target) {
            // Another process may have been faster; its copy passed the same checksum.
            Err(_) if target.is_dir() => Ok(target),
            renamed => renamed.map(|()| target.clone()).map_err(io(&target, "put in place")),
        }
    }

    fn url(&self) -> String {
        format!("{}/{}", self.base_url.trim_end_matches('/'), self.archive.file)
    }

    fn error(&self, received: u64, reason: impl ToString) -> DataError {
        DataError::Download {
            url: self.url(),
            received,
            reason: reason.to_string(),
            folder: self.cache.to_owned(),
        }
    }

    fn download(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DataError> {
        let response = self.agent.get(self.url()).call().map_err(|reason| self.error(0, reason))?;
        let body = response.into_body();
        let total = body.content_length();
        // One byte more than expected is enough to know that it is another file.
        let mut reader = body.into_reader().take(self.archive.bytes + 1);
        let mut file = File::create(path).map_err(io(path, "create"))?;
        let mut hash = Sha256::new();
        let mut received = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = reader.read(&mut buffer).map_err(|reason| self.error(received, reason))?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(io(path, "write"))?;
            received += count as u64;
            progress(received, total);
        }
        let found = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if found == self.archive.sha256 {
            return Ok(());
        }
        Err(DataError::Checksum {
            url: self.url(),
            expected_bytes: self.archive.bytes,
            expected: self.archive.sha256.clone(),
            found_bytes: received,
            found,
        })
    }
}

fn io<'a>(path: &'a Path, action: &'static str) -> impl Fn(std::io::Error) -> DataError + 'a {
    move |reason| DataError::Io { path: path.to_owned(), action, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// An archive like CIFAR-10's with one small file.
    fn packed() -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, "batches/data.bin", &b"bytes"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn archive_of(bytes: &[u8]) -> Archive {
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Archive { file: "batches.tar.gz", folder: "batches", bytes: bytes.len() as u64, sha256 }
    }

    /// Answers one request with `response` and returns the request line.
    fn serve_once(response: Vec<u8>) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mirror/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            // A client that has seen enough hangs up.
            let _ = stream.write_all(&response);
            request
        });
        (url, server)
    }

    fn ok(declared: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {declared}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn fetch(cache: &Path, base_url: &str, archive: Archive) -> Result<PathBuf, DataError> {
        // Without the proxy that the environment may name: the server is on this machine.
        let agent = Agent::config_builder().proxy(None).build().into();
        Fetch { agent, archive, cache, base_url }.run(&mut |_, _| {})
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_download_is_unpacked_and_its_temporary_files_are_gone() {
        let cache = tempfile::tempdir().unwrap();
        let (url, server) = serve_once(ok(packed().len(), &packed()));
        let folder = fetch(cache.path(), &url, archive_of(&packed())).unwrap();
        assert_eq!(server.join().unwrap(), "GET /mirror/batches.tar.gz HTTP/1.1");
        assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), b"bytes");
        assert_eq!(entries(cache.path()), ["batches"]);
    }

    #[test]
    fn progress_ends_at_the_total() {
        let cache = tempfile::tempdir().unwrap();
        let size = packed().len();
        let (base_url, server) = serve_once(ok(size, &packed()));
        let agent = Agent::config_builder().proxy(None).build().into();
        let archive = archive_of(&packed());
        let fetch = Fetch { agent, archive, cache: cache.path(), base_url: &base_url };
        let mut last = None;
        fetch.run(&mut |done, total| last = Some((done, total))).unwrap();
        server.join().unwrap();
        assert_eq!(last, Some((size as u64, Some(size as u64))));
    }

    #[test]
    fn a_data_set_that_is_there_is_not_downloaded_again() {
        let cache = tempfile::tempdir().unwrap();
        std::fs::create_dir(cache.path().join("batches")).unwrap();
        // Port 9 discards: any request would fail.
        let folder = fetch(cache.path(), "http://127.0.0.1:9", archive_of(b"")).unwrap();
        assert_eq!(folder, cache.path().join("batches"));
        std::fs::create_dir(cache.path().join("cifar-10-batches-bin")).unwrap();
        let folder = fetch_cifar10(cache.path(), "http://127.0.0.1:9", &mut |_, _| {}).unwrap();
        assert_eq!(folder, cache.path().join("cifar-10-batches-bin"));
    }

    /// Asserts that the fetch fails, keeps nothing, and says each of `parts`.
    fn assert_fails(response: Vec<u8>, archive: Archive, parts: &[&str]) {
        let cache = tempfile::tempdir().unwrap();
        let (url, server) = serve_once(response);
        let message = fetch(cache.path(), &url, archive).unwrap_err().to_string();
        server.join().unwrap();
        assert!(message.contains("batches.tar.gz"), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
        assert_eq!(entries(cache.path()), [""; 0]);
    }

    #[test]
    fn another_file_is_refused_by_its_checksum_and_nothing_is_kept() {
        let archive = archive_of(&packed());
        let expected = archive.sha256.clone();
        let found = archive_of(b"forgery").sha256;
        assert_fails(ok(7, b"forgery"), archive, &[&expected, &found, "7 bytes"]);
    }

    #[test]
    fn a_longer_file_is_refused_without_reading_it_all() {
        let body = vec![0; 300_000];
        assert_fails(ok(body.len(), &body), archive_of(b"1234"), &["expected 4 bytes", "5 bytes"]);
    }

    #[test]
    fn a_body_that_stops_early_is_an_error_with_the_bytes_received() {
        let half = &packed()[..packed().len() / 2];
        let received = format!("after {} bytes", half.len());
        assert_fails(ok(packed().len(), half), archive_of(&packed()), &[&received]);
    }

    #[test]
    fn a_missing_file_on_the_server_is_an_error_with_the_status() {
        let response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
        assert_fails(response, archive_of(&packed()), &["404"]);
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_an_error_with_the_address() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cache = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let message = fetch(cache.path(), &url, archive_of(b"")).unwrap_err().to_string();
        assert!(message.contains(&port.to_string()), "{message}");
        assert_eq!(entries(cache.path()), [""; 0]);
    }

    #[test]
    fn an_archive_without_the_expected_folder_is_an_error_and_nothing_is_kept() {
        let archive = Archive { folder: "other", ..archive_of(&packed()) };
        let cache = tempfile::tempdir().unwrap();
        let (url, server) = serve_once(ok(packed().len(), &packed()));
        let message = fetch(cache.path(), &url, archive).unwrap_err().to_string();
        server.join().unwrap();
        assert!(message.contains("other"), "{message}");
        assert_eq!(entries(cache.path()), [""; 0]);
    }
}
