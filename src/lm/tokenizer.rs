//! Text to token ids and back: `tokenizer.json` as Hugging Face's tokenizers write it.

use std::path::{Path, PathBuf};

use serde_json::json;
use tgmamba_graph::files;
use tokenizers::models::bpe::BpeTrainerBuilder;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::error::{Error, Result};

/// The token between texts of a tokenizer made here.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// A tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or that file in a folder.
    ///
    /// # Errors
    /// A file that is missing or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let path = match path.is_dir() {
            true => path.join("tokenizer.json"),
            false => path.to_path_buf(),
        };
        if !path.is_file() {
            return Err(Error::file(
                &path,
                "tokenizer",
                "there is no such file",
                "name one with --tokenizer, for example tokenizer.json of EleutherAI/gpt-neox-20b \
                 for the published models",
            ));
        }
        let inner = tokenizers::Tokenizer::from_bytes(files::read(&path)?).map_err(|e| {
            Error::file(
                &path,
                "tokenizer",
                format!("is not readable ({e})"),
                "give a tokenizer.json of Hugging Face's tokenizers",
            )
        })?;
        Ok(Self { inner, path })
    }

    /// A token for each byte, and [`END_OF_TEXT`].
    ///
    /// # Errors
    /// A defect of the program.
    pub fn bytes() -> Result<Self> {
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let mut vocabulary: serde_json::Map<_, _> = alphabet
            .iter()
            .enumerate()
            .map(|(i, c)| (c.to_string(), json!(i)))
            .collect();
        let end = vocabulary.len();
        vocabulary.insert(END_OF_TEXT.into(), json!(end));
        let level = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false
        });
        let text = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [{
                "id": end, "content": END_OF_TEXT, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            }],
            "normalizer": null,
            "pre_tokenizer": level,
            "post_processor": null,
            "decoder": level,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": vocabulary, "merges": []
            }
        });
        let path = PathBuf::from("bytes");
        let inner = tokenizers::Tokenizer::from_bytes(text.to_string().as_bytes())
            .map_err(|e| defect(&path, &e))?;
        Ok(Self { inner, path })
    }

    /// Byte-pair encoding of `size` tokens learned from texts: the bytes, [`END_OF_TEXT`], and the
    /// most frequent pairs.
    ///
    /// # Errors
    /// A size below 257.
    pub fn learn<'a>(texts: impl Iterator<Item = &'a str> + Send, size: usize) -> Result<Self> {
        if size < 257 {
            return Err(Error::config(
                "--tokenizer",
                format!("bpe:{size} is less than the 256 bytes and the end of a text"),
                "give bpe:257 or more",
            ));
        }
        let mut tokenizer = Self::bytes()?;
        let path = PathBuf::from("bpe");
        let words = ByteLevel::new(false, true, true);
        tokenizer
            .inner
            .with_pre_tokenizer(Some(words))
            .with_decoder(Some(words));
        let mut trainer = tokenizers::models::TrainerWrapper::from(
            BpeTrainerBuilder::new()
                .vocab_size(size)
                .show_progress(false)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .special_tokens(vec![tokenizers::AddedToken::from(END_OF_TEXT, true)])
                .build(),
        );
        tokenizer
            .inner
            .train(&mut trainer, texts)
            .map_err(|e| defect(&path, &e))?;
        Ok(Self {
            inner: tokenizer.inner,
            path,
        })
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.inner.to_string(true).map_err(|e| defect(path, &e))?;
        files::atomic_write(path, |out| {
            std::io::Write::write_all(out, text.as_bytes()).map_err(|e| Error::io(path, e))
        })
    }

    /// One more than the largest id.
    pub fn size(&self) -> usize {
        let ids = self.inner.get_vocab(true);
        ids.values().max().map_or(0, |id| *id as usize + 1)
    }

    /// Refuses a model with fewer embeddings than tokens.
    ///
    /// # Errors
    /// Says both numbers.
    pub fn fits(&self, rows: usize) -> Result<()> {
        match self.size() <= rows {
            true => Ok(()),
            false => Err(Error::file(
                &self.path,
                "vocabulary",
                format!(
                    "has ids up to {}, the model {rows} embeddings",
                    self.size() - 1
                ),
                "give the tokenizer that belongs to the model",
            )),
        }
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// A text that the tokenizer cannot express.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, true).map_err(|e| {
            Error::file(
                &self.path,
                "text",
                format!("cannot be encoded ({e})"),
                "give a tokenizer that has tokens for all of it",
            )
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, without special tokens.
    ///
    /// # Errors
    /// A defect of the tokenizer.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, true)
            .map_err(|e| defect(&self.path, &e))
    }

    /// The token that ends a text, under one of its usual names.
    pub fn end_of_text(&self) -> Option<u32> {
        [END_OF_TEXT, "</s>", "<eos>"]
            .iter()
            .find_map(|name| self.inner.token_to_id(name))
    }
}

fn defect(path: &Path, e: &tokenizers::Error) -> Error {
    Error::file(path, "tokenizer", e.to_string(), "report this as a defect")
}

/// Text as it grows token by token, which ends at a stop string.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    stops: &'a [String],
    ids: Vec<u32>,
    /// Tokens whose text is settled.
    settled: usize,
    /// Text not yet given out.
    held: String,
    stopped: bool,
}

impl<'a> TextStream<'a> {
    /// For the continuation of `prompt`.
    pub fn new(tokenizer: &'a Tokenizer, stops: &'a [String], prompt: &[u32]) -> Self {
        // Some decoders treat the first token of a text in their own way: one token of the prompt
        // stands before the continuation.
        let ids = prompt.last().copied().into_iter().collect::<Vec<_>>();
        Self {
            tokenizer,
            stops,
            settled: ids.len(),
            ids,
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes a token; the text that is certain now.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.stopped {
            return Ok(String::new());
        }
        self.ids.push(id);
        let text = self.fresh()?;
        // A character may be spread over tokens; until it is whole its bytes are no text.
        if text.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        self.take(&text);
        Ok(self.release())
    }

    /// What is left when no token follows.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self) -> Result<String> {
        if !self.stopped {
            let text = self.fresh()?;
            self.take(&text);
            self.release();
        }
        Ok(std::mem::take(&mut self.held))
    }

    /// Whether a stop string came.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text of the tokens that are not settled.
    fn fresh(&self) -> Result<String> {
        let start = self.settled.saturating_sub(1);
        let before = self.tokenizer.decode(&self.ids[start..self.settled])?;
        let all = self.tokenizer.decode(&self.ids[start..])?;
        Ok(all.get(before.len()..).unwrap_or_default().to_string())
    }

    fn take(&mut self, text: &str) {
        self.settled = self.ids.len();
        self.held.push_str(text);
    }

    /// Gives out what no stop string can claim any more.
    fn release(&mut self) -> String {
        let first = self.stops.iter().filter(|stop| !stop.is_empty());
        let first = first.filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.stopped = true;
            let text = self.held[..at].to_string();
            self.held.clear();
            return text;
        }
        let open = |start: usize| {
            let tail = &self.held[start..];
            self.stops.iter().any(|stop| stop.starts_with(tail))
        };
        let keep = self
            .held
            .char_indices()
            .map(|(start, _)| start)
            .find(|start| open(*start))
            .unwrap_or(self.held.len());
        self.held.drain(..keep).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_token_each() {
        let tokenizer = Tokenizer::bytes().unwrap();
        assert_eq!(tokenizer.size(), 257);
        assert_eq!(tokenizer.end_of_text(), Some(256));
        let text = "Grüße,\n\tWelt 🦀";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids.len(), text.len());
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        let message = tokenizer.fits(256).unwrap_err().to_string();
        assert!(
            message.contains("ids up to 256, the model 256 embeddings"),
            "{message}"
        );
        tokenizer.fits(257).unwrap();
    }

    #[test]
    fn pairs_are_learned_from_texts_and_kept_in_a_file() {
        let text = "the cat and the dog and the other cat ".repeat(20);
        let tokenizer = Tokenizer::learn(std::iter::once(text.as_str()), 270).unwrap();
        assert!(tokenizer.size() <= 270);
        let ids = tokenizer.encode(&text).unwrap();
        assert!(ids.len() < text.len() * 2 / 3, "{} tokens", ids.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let again = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(again.encode(&text).unwrap(), ids);
        assert_eq!(again.decode(&ids).unwrap(), text);
        assert!(Tokenizer::learn(std::iter::once("a"), 256).is_err());
    }

    #[test]
    fn a_stream_gives_whole_characters_only() {
        let tokenizer = Tokenizer::bytes().unwrap();
        let mut stream = TextStream::new(&tokenizer, &[], &[]);
        let mut pieces = Vec::new();
        for id in tokenizer.encode("aü🦀").unwrap() {
            pieces.push(stream.push(id).unwrap());
        }
        assert_eq!(pieces, ["a", "", "ü", "", "", "", "🦀"]);
        assert_eq!(stream.finish().unwrap(), "");
    }

    #[test]
    fn a_stream_ends_before_a_stop_string() {
        let tokenizer = Tokenizer::bytes().unwrap();
        let stops = vec!["END".to_string(), "EX".to_string()];
        let run = |text: &str| {
            let mut stream = TextStream::new(&tokenizer, &stops, &[65]);
            let mut out = String::new();
            for id in tokenizer.encode(text).unwrap() {
                out += &stream.push(id).unwrap();
                assert!(!out.contains("EN"), "given out too early: {out}");
            }
            let stopped = stream.stopped();
            (out + &stream.finish().unwrap(), stopped)
        };
        assert_eq!(run("one END two"), ("one ".into(), true));
        assert_eq!(run("E EX"), ("E ".into(), true));
        assert_eq!(run("the E"), ("the E".into(), false));
    }
}
