// A result directory that appears whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace hesse {

// `given` as it is meant: absolute, without a slash at the end; a symbolic link to a directory becomes that directory,
// since rename() would replace the link. Error(kUsage) for what cannot be a directory's name.
std::filesystem::path output_path(const std::filesystem::path& given);

// Ends what a process that was killed left half done: a result that was just being replaced is in its place again, what
// is of no more use is gone. Error(kUsage) when another process is writing the output.
void settle_output(const std::filesystem::path& target);

// The checks of StagedDirectory's constructor, to be made before hours of work.
void require_output_free(const std::filesystem::path& target, bool overwrite, std::string_view marker);

// Files are made in a sibling directory ".NAME.partial-PID"; publish() syncs it and renames it to NAME. Destroyed
// unpublished, it is removed with all it holds. What killed processes left beside NAME is tidied by the next one:
// their partial directories are removed, and a NAME that was moved away and not yet replaced is put back.
class StagedDirectory {
 public:
  // `target` must not exist, unless `overwrite`: then it must be an empty directory or one that Hesse wrote (a file
  // `marker` inside), and publish() replaces it. A symbolic link to a directory stands for that directory. Missing
  // parents are made. Throws kUsage when `target` may not be replaced, cannot be (not a directory, a mount point), or
  // is being written by another run; kEnvironment when the parent cannot be written.
  StagedDirectory(const std::filesystem::path& target, bool overwrite, std::string_view marker);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const std::filesystem::path& path() const { return staging_; }  // write here

  // Once. If `target` cannot be replaced after all (it appeared or changed meanwhile), the error names the sibling
  // NAME.kept-PID in which the finished result was kept.
  void publish();

 private:
  void create_staging();
  std::filesystem::path move_old_away() const;
  std::filesystem::path keep_result();

  std::filesystem::path target_;
  std::filesystem::path staging_;  // empty when nothing is to be removed
  std::string marker_;
  bool overwrite_ = false;
  int lock_ = -1;  // of the staging directory, held while this lives: tells other runs that it is in use
};

}  // namespace hesse
