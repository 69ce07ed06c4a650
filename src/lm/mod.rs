//! What only language models need: checkpoints of other systems, tokenizers, sampling, generation.
//!
//! ```text
//! checkpoint  reading, writing and converting published formats
//! tokenizer   text to token ids and back
//! sampling    from logits to a token
//! generate    from prompts to text, token by token
//! corpus      token streams of text files and tables
//! training    learning from a corpus
//! ```

pub mod checkpoint;
pub mod corpus;
pub mod generate;
pub mod sampling;
pub mod tokenizer;
pub mod training;
