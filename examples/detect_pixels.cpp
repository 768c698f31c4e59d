// Targets of a frame by a self-contained model and ONNX Runtime alone; a line a target: x, y, area, score.
//   g++ -std=c++17 -O2 -I INCLUDE detect_pixels.cpp LIBRARY/libonnxruntime.so -o detect_pixels
//   ./detect_pixels MODEL FRAME WIDTH HEIGHT        FRAME: the bare pixels, of the type that the model takes
#include <onnxruntime_c_api.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

static const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);

static void check(OrtStatus* status) {
  if (status == nullptr) return;
  std::fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  std::exit(1);
}

int main(int count, char** argument) {
  if (count != 5 || ort == nullptr) return std::fprintf(stderr, "MODEL FRAME WIDTH HEIGHT\n"), 2;
  const int64_t width = std::atoll(argument[3]), height = std::atoll(argument[4]);
  std::ifstream file(argument[2], std::ios::binary);
  std::vector<char> pixels((std::istreambuf_iterator<char>(file)), {});
  const size_t bytes = width > 0 && height > 0 ? pixels.size() / (width * height) : 0;
  if (bytes < 1 || bytes > 2 || bytes * width * height != pixels.size())
    return std::fprintf(stderr, "%s does not hold %sx%s pixels\n", argument[2], argument[3], argument[4]), 2;

  OrtEnv* environment; OrtSessionOptions* options; OrtSession* session; OrtMemoryInfo* memory;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "infraspot", &environment));
  check(ort->CreateSessionOptions(&options));
  check(ort->CreateSession(environment, argument[1], options, &session));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  OrtModelMetadata* metadata; OrtAllocator* allocator; char *threshold, *left_out;
  check(ort->SessionGetModelMetadata(session, &metadata));
  check(ort->GetAllocatorWithDefaultOptions(&allocator));
  check(ort->ModelMetadataLookupCustomMetadataMap(metadata, allocator, "infraspot.threshold", &threshold));
  if (threshold == nullptr) return std::fprintf(stderr, "%s names no threshold\n", argument[1]), 2;

  check(ort->ModelMetadataLookupCustomMetadataMap(metadata, allocator, "infraspot.left_out", &left_out));
  if (left_out != nullptr) std::fprintf(stderr, "left out of %s: %s\n", argument[1], left_out);

  const int64_t shape[] = {1, 1, height, width};
  const auto kind = bytes == 1 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16;
  OrtValue *frame, *answer = nullptr; float* scores;
  check(ort->CreateTensorWithDataAsOrtValue(memory, pixels.data(), pixels.size(), shape, 4, kind, &frame));
  const char *input = "frame", *output = "scores";
  check(ort->Run(session, nullptr, &input, &frame, 1, &output, 1, &answer));
  check(ort->GetTensorMutableData(answer, reinterpret_cast<void**>(&scores)));

  const float level = std::strtof(threshold, nullptr);
  for (int64_t start = 0; start < width * height; ++start) {
    std::vector<int64_t> waiting{start};
    double x = 0, y = 0, area = 0, best = 0;
    while (!waiting.empty()) {
      const int64_t place = waiting.back(), column = place % width, row = place / width;
      waiting.pop_back();
      const float score = std::exchange(scores[place], 0.0f);
      if (score <= level) { scores[place] = score; continue; }
      x += column, y += row, area += 1, best = std::max<double>(best, score);
      for (int64_t j = std::max<int64_t>(row - 1, 0); j <= std::min(row + 1, height - 1); ++j)
        for (int64_t i = std::max<int64_t>(column - 1, 0); i <= std::min(column + 1, width - 1); ++i)
          waiting.push_back(j * width + i);
    }
    if (area > 0) std::printf("%.2f %.2f %.0f %.4f\n", x / area, y / area, area, best);
  }
}
