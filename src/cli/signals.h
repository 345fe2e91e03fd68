// Ctrl-C: the first asks the job to stop, the second ends the process at once.
#pragma once

namespace hesse {

void catch_signals();        // SIGINT and SIGTERM; one that is ignored, as under nohup, stays ignored
bool stop_signalled();       // whether one has come
void ignore_closed_pipes();  // a run of hours outlives the reader of its log

}  // namespace hesse
