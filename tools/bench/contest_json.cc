#include "bench/contest.h"
#include "bench/json_writer.h"

namespace squish::bench {
namespace {

void write_summary(JsonWriter& json, const Summary& summary) {
  json.begin_object();
  json.key("min").value(summary.min);
  json.key("median").value(summary.median);
  json.key("p90").value(summary.p90);
  json.end_object();
}

// Null where there is no peak: a device without instruction sets.
void write_fraction(JsonWriter& json, double flops, double peak) {
  json.key("fraction_of_peak").value(flops / peak);
}

void write_shape(JsonWriter& json, const Shape& shape) {
  json.begin_array();
  for (const int extent : {shape.channels, shape.height, shape.width}) json.value(extent);
  json.end_array();
}

void write_memory(JsonWriter& json, const MemoryUse& memory) {
  json.begin_object();
  json.key("model").value(memory.model);
  json.key("weights").value(memory.weights);
  json.key("activations").value(memory.activations);
  json.key("scratch").value(memory.scratch);
  json.end_object();
}

void write_step(JsonWriter& json, const StepInfo& step, bool timed, double peak) {
  json.begin_object();
  json.key("layer").value(step.layer);
  json.key("kernel").value(step.kernel);
  json.key("why").value(step.why);
  write_shape(json.key("output"), step.output);
  json.key("density").value(step.density);
  json.key("cluster_density").value(step.cluster_density);
  json.key("macs").value(step.macs);
  json.key("macs_run").value(step.macs_run);
  if (timed) {
    const double flops = NetResult::flops_of(step.macs_run, step.seconds);
    json.key("seconds").value(step.seconds);
    json.key("flops").value(flops);
    write_fraction(json, flops, peak);
  }
  json.end_object();
}

void write_net(JsonWriter& json, const NetResult& net, const NetResult& first, bool timed_steps,
               double peak) {
  json.begin_object();
  json.key("path").value(net.path);
  json.key("file_bytes").value(static_cast<int64_t>(net.file_bytes));
  json.key("classes").value(net.classes);
  write_shape(json.key("input"), net.input);
  json.key("storage").value(net.storage);
  json.key("weights").value(net.weights);
  json.key("live_weights").value(net.live_weights);
  json.key("density").value(net.density());
  json.key("cluster_density").value(net.cluster_density());
  json.key("macs").value(net.macs);
  json.key("macs_run").value(net.macs_run);
  write_memory(json.key("memory"), net.memory);
  write_summary(json.key("seconds"), net.seconds);
  json.key("images_per_second").value(net.images_per_second());
  json.key("flops").value(net.flops());
  write_fraction(json, net.flops(), net.peak(peak));
  json.key("speed_to_first").value(first.seconds.min / net.seconds.min);
  json.key("samples").begin_array();
  for (const double seconds : net.samples) json.value(seconds);
  json.end_array();
  json.key("steps").begin_array();
  for (const StepInfo& step : net.steps) write_step(json, step, timed_steps, net.peak(peak));
  json.end_array();
  json.end_object();
}

}  // namespace

std::string contest_json(const ContestResult& result, const BenchOptions& options) {
  const double peak = result.core_flops * options.session.threads;
  JsonWriter json;
  json.begin_object();
  json.key("tool").value("squish-bench");
  json.key("version").value(version());
  json.key("machine").begin_object();
  json.key("cpu").value(result.machine.cpu);
  json.key("logical_cpus").value(result.machine.logical_cpus);
  json.key("compiler").value(result.machine.compiler);
  json.end_object();
  json.key("device").value(options.session.device);
  json.key("isa").value(result.isa);
  json.key("winograd").value(options.session.winograd);
  json.key("threads").value(options.session.threads);
  json.key("batch").value(options.batch);
  json.key("format").value(format_name(options.format));
  json.key("warmup").value(options.warmup);
  json.key("iterations").value(options.iterations);
  json.key("core_flops");
  if (result.core_flops > 0) {
    json.value(result.core_flops);
  } else {
    json.null();
  }
  json.key("nets").begin_array();
  for (const NetResult& net : result.nets) write_net(json, net, result.nets[0], options.profile, peak);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace squish::bench
