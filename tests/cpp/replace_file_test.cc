// Left out where there is no <filesystem> without another library, in GCC 7 and 8.
#if __has_include(<filesystem>) && (!defined(__GLIBCXX__) || _GLIBCXX_RELEASE >= 9)
#include "replace_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "squish/error.h"

namespace squish {
namespace {

namespace fs = std::filesystem;

// Each test in an empty folder of its own.
class ReplaceFile : public ::testing::Test {
 protected:
  ReplaceFile() {
    const std::string test = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::path(::testing::TempDir()) / ("squish_" + test + "_" + std::to_string(::getpid()));
    fs::create_directory(folder_);
  }
  ~ReplaceFile() override { fs::remove_all(folder_); }

  fs::path at(const char* name) const { return folder_ / name; }
  auto files() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

 private:
  fs::path folder_;
};

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replace(const fs::path& path, const std::string& text) {
  replace_file(path.string(), text.data(), text.size());
}

int failure_of(const fs::path& path) {
  try {
    replace(path, "text");
  } catch (const IoError& error) {
    EXPECT_EQ(error.path(), path.string());
    EXPECT_NE(std::string(error.what()).find("cannot write '" + path.string() + "': "), std::string::npos);
    return error.code();
  }
  return 0;
}

TEST_F(ReplaceFile, MakesAndReplacesAndLeavesNothingBeside) {
  for (const std::string& text : {std::string("a\0b", 3), std::string(100000, 'x'), std::string()}) {
    replace(at("net"), text);
    EXPECT_EQ(content(at("net")), text);
    EXPECT_EQ(files(), 1);
  }
}

TEST_F(ReplaceFile, ReadersKeepTheOldFile) {
  replace(at("net"), "old");
  std::ifstream reader(at("net"));
  replace(at("net"), "new");
  std::string seen;
  reader >> seen;
  EXPECT_EQ(seen, "old");
}

TEST_F(ReplaceFile, KeepsPermissions) {
  constexpr auto kMine = fs::perms::owner_read | fs::perms::owner_write;
  replace(at("net"), "old");
  fs::permissions(at("net"), kMine);
  replace(at("net"), "new");
  EXPECT_EQ(fs::status(at("net")).permissions(), kMine);
}

// Whose size 32 bits do not hold; it takes no room.
TEST_F(ReplaceFile, KeepsPermissionsOfAFileThatIsLarge) {
  replace(at("file"), "old");
  if (::truncate(at("file").c_str(), off_t{3} << 30) != 0) GTEST_SKIP() << "no such files here";
  fs::permissions(at("file"), fs::perms::owner_read | fs::perms::owner_write);
  replace(at("file"), "new");
  EXPECT_EQ(fs::status(at("file")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(content(at("file")), "new");
}

TEST_F(ReplaceFile, SaysThatLinksLeadNowhere) {
  fs::create_symlink(at("a"), at("b"));
  fs::create_symlink(at("b"), at("a"));
  EXPECT_EQ(failure_of(at("a")), ELOOP);
}

TEST_F(ReplaceFile, FollowsLinksToWhatIsThereOrNot) {
  fs::create_directory(at("real"));
  fs::create_symlink("real/net", at("link"));
  fs::create_symlink("link", at("link of a link"));
  for (const char* text : {"made", "replaced"}) {
    replace(at("link of a link"), text);
    EXPECT_EQ(content(at("real") / "net"), text);
    EXPECT_TRUE(fs::is_symlink(at("link")));
  }
}

TEST_F(ReplaceFile, WritesIntoPipes) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const std::string text(200000, 'x');  // more than a pipe holds
  std::string got;
  std::thread reader([&] { got = content(at("pipe")); });
  replace(at("pipe"), text);
  reader.join();
  EXPECT_EQ(got, text);
  EXPECT_TRUE(fs::is_fifo(at("pipe")));
}

// "/dev/stdout" of a program whose output goes to a file, too.
TEST_F(ReplaceFile, WritesToOpenDescriptorsWhereTheyAre) {
  FILE* file = std::fopen(at("net").c_str(), "w");
  std::fputs("before, ", file);
  std::fflush(file);
  const std::string number = std::to_string(fileno(file));
  fs::create_symlink("/dev/fd/" + number, at("link"));
  replace("/dev/fd/" + number, "text");
  replace(at("link"), ", by a link");
  std::fputs(", after", file);
  std::fclose(file);
  EXPECT_EQ(content(at("net")), "before, text, by a link, after");
  EXPECT_EQ(failure_of("/dev/fd/" + number), EBADF);
}

TEST_F(ReplaceFile, WritesToAShellsPipe) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  replace("/dev/fd/" + std::to_string(ends[1]), "text");
  char got[5] = {};
  EXPECT_EQ(::read(ends[0], got, sizeof got), 4);
  EXPECT_STREQ(got, "text");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ReplaceFile, TakesTheLongestNames) {
  const std::string name(255, 'n');
  replace(at(name.c_str()), "text");
  EXPECT_EQ(content(at(name.c_str())), "text");
  EXPECT_EQ(failure_of(at((name + "n").c_str())), ENAMETOOLONG);
  EXPECT_EQ(files(), 1);
}

TEST_F(ReplaceFile, ThreadsDoNotMixTheirFiles) {
  const std::string texts[] = {std::string(50000, 'a'), std::string(70000, 'b')};
  const auto work = [&](const std::string& text) {
    for (int k = 0; k < 50; ++k) replace(at("net"), text);
  };
  std::thread other(work, texts[1]);
  work(texts[0]);
  other.join();
  const std::string last = content(at("net"));
  EXPECT_TRUE(last == texts[0] || last == texts[1]);
  EXPECT_EQ(files(), 1);
}

TEST_F(ReplaceFile, SaysWhatFailsAndLeavesNothing) {
  fs::create_directory(at("folder"));
  EXPECT_EQ(failure_of(at("absent") / "net"), ENOENT);
  EXPECT_EQ(failure_of(at("folder")), EISDIR);
  EXPECT_EQ(files(), 1);
}

#if defined(__linux__)
TEST_F(ReplaceFile, SaysThatADiskIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_EQ(failure_of("/dev/full"), ENOSPC);
}
#endif

}  // namespace
}  // namespace squish
#endif
