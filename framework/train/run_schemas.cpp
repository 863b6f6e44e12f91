// Every key of the run's own tables, with its range and its meaning.

#include "train/run_config.hpp"

namespace tessera::train {

const Schema& run_schema() {
  static const Schema schema = [] {
    Schema s("run", "What the whole run has in common");
    s.integer("seed", 18).at_least(0).help("Seed of every random draw.");
    s.string("precision", "float32")
        .choices({"float32", "bfloat16", "float64"})
        .help("Of the computation; parameters and optimizer state are float32, or float64 with float64.");
    s.integer("log_every", 10).at_least(1).unit("steps").help("Between two lines of metrics.");
    s.integer("checkpoint_every", 0)
        .at_least(0)
        .unit("steps")
        .help("Between two checkpoints; 0 writes one at the end of each stage only.");
    s.integer("keep_checkpoints", 2).at_least(1).help("How many of the newest checkpoints stay.");
    s.integer("keep_checkpoints_every", 0)
        .at_least(0)
        .unit("steps")
        .help(
            "Besides, the checkpoints of steps that are a multiple of it stay for good; a multiple of "
            "checkpoint_every, or 0 for none.");
    s.boolean("overlap_checkpoints", true)
        .help(
            "Write checkpoints while training goes on. Until the bytes are written, a node keeps a copy of "
            "what its ranks write: together the size of the file. Without it, or where that memory is not "
            "there, training waits.");
    s.string("shard", "none")
        .choices({"none", "optimizer", "gradients"})
        .help(
            "What the nodes, or ranks that cannot share memory, split between them: nothing; moments, "
            "running "
            "average and with bfloat16 the float32 values (ZeRO-1); gradients too (ZeRO-2, FSDP's "
            "SHARD_GRAD_OP: "
            "every micro-batch is then summed over the ranks). The losses are the same, and checkpoints "
            "interchangeable. The ranks of one node have one copy of everything in any case.");
    s.number("shard_bucket", 25)
        .range(0.001, 1024)
        .unit("MiB")
        .help(
            "Of float32 gradients that are summed together, with `shard`; larger parameters go by "
            "themselves.");
    s.number("max_minutes", 0)
        .at_least(0)
        .unit("minutes")
        .help("Stop after this time with a checkpoint and exit code 75; 0 sets no limit.");
    s.number("job_end_margin", 5)
        .at_least(0)
        .unit("minutes")
        .help(
            "Stop so long before the end of a Slurm job, as SLURM_JOB_END_TIME tells it; at most half of "
            "what "
            "is left at the start. Give it the time of a step and a checkpoint; 0 leaves the end to "
            "signals.");
    s.string("non_finite", "stop")
        .choices({"stop", "skip"})
        .help(
            "What a step does whose loss or gradient is NaN or infinite: end the run, or leave the weights "
            "as they are.");
    s.number("norm_limit", 0)
        .at_least(0)
        .unit("times the mean")
        .help(
            "A step whose gradient has a norm above this many times the running mean of norms (over some 100 "
            "steps, from the 20th on) is left out; 0 takes every finite one.");
    s.integer("skip_limit", 0)
        .range(0, 1000)
        .unit("steps")
        .help(
            "When so many of the last skip_window steps were left out, the run goes back to its last regular "
            "checkpoint and draws anew; 0 never does.");
    s.integer("skip_window", 100).at_least(1).unit("steps").help("See skip_limit; equal to it: in a row.");
    s.integer("rollbacks", 3).at_least(0).help("How often a run may go back; after that it stops.");
    s.number("watchdog_seconds", 600)
        .at_least(0)
        .unit("seconds")
        .help(
            "End the job, and say which rank hangs where, when nothing was done on a node for so long (ten "
            "times "
            "as long while data is opened, a checkpoint moves or samples are drawn); 0 never does.");
    s.integer("sample_every", 0).at_least(0).unit("steps").help("Between two sample grids; 0 makes none.");
    s.strings("sample_prompts", {}).help("Prompts of the sample grids, one tile each.");
    s.strings("sample_controls", {})
        .help(
            "Pictures whose control maps the sample pictures follow, prompt by prompt in turn; for models "
            "with "
            "an adapter that reads such maps.");
    s.integer("sample_seed", 0).at_least(0).help("Seed of the sample grids' noise.");
    s.number("sample_guidance", 5).at_least(0).help("Classifier-free guidance of the sample grids.");
    s.integer("sample_steps", 0).at_least(0).help("Of the sampler; 0 takes its own default.");
    s.integer("trace_steps", 0)
        .range(0, 10000)
        .help(
            "Writes a timeline of so many steps of every rank to trace.json in the run folder, for "
            "ui.perfetto.dev or chrome://tracing; 0 writes none.");
    s.integer("trace_after", 2)
        .at_least(0)
        .help("Steps that pass before them after every start: the first ones are slower.");
    return s;
  }();
  return schema;
}

const Schema& data_schema() {
  static const Schema schema = [] {
    Schema s("data", "What the run trains on");
    s.strings("path").help("Folders of shards, or shards: one text or a list.");
    s.number("caption_drop", 0.1)
        .range(0, 1)
        .help("Probability that a sample trains without its caption, and without its class, for guidance.");
    s.string("label", "subgroup")
        .choices({"subgroup", "group"})
        .help("Which label of the shards is the class of a picture, for models that read one.");
    s.integer("workers", 1).range(1, 64).unit("threads per rank").help("Threads that read ahead.");
    s.integer("prefetch", 3).range(2, 1024).unit("micro-batches").help("How far they read ahead.");
    s.integer("window_shards", 16)
        .range(1, 65536)
        .help("Shards whose records are mixed with each other; more mix better and touch more files.");
    s.string("damaged", "stop")
        .choices({"stop", "skip"})
        .help(
            "What a record does that is damaged or cannot be read: end the run, or leave its place in the "
            "batch "
            "to another one.");
    s.integer("damaged_limit", 100)
        .at_least(0)
        .unit("records")
        .help("With damaged = \"skip\": a run that meets more of them stops.");
    return s;
  }();
  return schema;
}

const Schema& mix_schema() {
  static const Schema schema = [] {
    Schema s("mix", "Further data that every batch has a share of");
    s.strings("path").help("Folders of shards, or shards: one text or a list.");
    s.number("share").range(1e-6, 0.999999).help("Part of every batch; what all leave is of [data] path.");
    s.number("weight", 1)
        .at_least(0)
        .help(
            "Of its pictures' losses; those of [data] path have 1. A step's loss is the sum of weight x loss "
            "over "
            "its pictures, divided by their number.");
    return s;
  }();
  return schema;
}

const Schema& optimizer_schema() {
  static const Schema schema = [] {
    Schema s("optimizer", "AdamW");
    s.number("weight_decay", 0.1).at_least(0).help("Decoupled; of every parameter.");
    s.number("beta1", 0.9).range(0, 0.999999).help("Memory of the first moment.");
    s.number("beta2", 0.999).range(0, 0.9999999).help("Memory of the second moment.");
    s.number("eps", 1e-8).at_least(0).help("Added to the root of the second moment.");
    return s;
  }();
  return schema;
}

const Schema& start_schema() {
  static const Schema schema = [] {
    Schema s("start", "The checkpoint of another run that this one begins from");
    s.string("checkpoint")
        .help("The file; once the run has a checkpoint of its own it is not needed any more.");
    s.string("weights", "trained")
        .choices({"trained", "average", "preferred"})
        .help(
            "Which of its weights: the trained ones, the running average, or the average where there is "
            "one.");
    s.string("digest", "")
        .help(
            "What `tessera checkpoint show` says of the file; another one is refused. Empty takes any file, "
            "and the run records the digest of the one it took.");
    return s;
  }();
  return schema;
}

const Schema& stage_schema() {
  static const Schema schema = [] {
    Schema s("stage", "One stage of training; stages run in the order written");
    s.string("name").help("Appears in metrics and checkpoints.");
    s.integer("steps").at_least(1).help("Optimizer steps.");
    s.integer("resolution").at_least(1).unit("pixels").help("Side of the pictures; one that the data has.");
    s.boolean("aspect_buckets", false)
        .help(
            "Train on pictures of every aspect ratio, a batch of one at a time; `resolution` is then the "
            "side "
            "of the square ones. Without it all pictures must have one shape.");
    s.integer("batch").at_least(1).unit("pictures").help("Per step, over all ranks.");
    s.integer("micro_batch", 0)
        .at_least(0)
        .unit("pictures")
        .help("At most so many at a time on a rank; 0 takes the rank's whole share.");
    s.number("mask_ratio", 0).range(0, 0.99).help("Part of the patches that training drops.");
    s.number("learning_rate").at_least(0).help("After the warm-up.");
    s.string("schedule", "constant")
        .choices({"constant", "cosine", "cyclic-cosine"})
        .help("Of the learning rate, after the warm-up.");
    s.integer("warmup", 0).at_least(0).unit("steps").help("Linear rise from 0.");
    s.integer("decay_steps", 0)
        .at_least(0)
        .unit("steps")
        .help("Where the cosine ends, counted from the stage's start, or a cycle's end; 0 takes `steps`.");
    s.number("floor", 0).range(0, 1).help("The cosine ends at floor x learning_rate.");
    s.number("clip_norm", 0).at_least(0).help("Largest norm of the whole gradient; 0 does not clip.");
    s.number("ema_smoothing", 0)
        .range(0, 0.9999999)
        .help("Of the running average of the weights, which sampling then uses; 0 keeps none.");
    s.integer("ema_start", 0)
        .at_least(0)
        .unit("steps")
        .help("Step of the stage at which the average starts.");
    s.number("position_scale", 1)
        .range(1e-3, 1e3)
        .help("Divides position coordinates: 2 where the latent has twice the side of the first stage's.");
    s.strings("sample_prompts", {}).help("Prompts of the stage's sample grids; none takes those of [run].");
    s.number("sample_guidance", 0).at_least(0).help("Guidance of its sample grids; 0 takes that of [run].");
    s.strings("sample_aspects", {})
        .help(
            "Shapes of its sample pictures, width:height, prompt by prompt in turn: [\"1:1\", \"2:1\", "
            "\"1:2\"]. Each is drawn in the nearest aspect bucket; none draws squares.");
    return s;
  }();
  return schema;
}

}  // namespace tessera::train
