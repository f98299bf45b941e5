/* SPDX-License-Identifier: Apache-2.0
 * Every file of losses, for loss_rows.cu: each in a namespace, since their inner functions share names. tests/lint.sh compares
 * the list with the files that have a LOSS_ROW. */
namespace loss_file_ce {
#include "loss_ce.c"
}
namespace loss_file_fkl {
#include "loss_fkl.c"
}
namespace loss_file_topk {
#include "loss_topk.c"
}
namespace loss_file_sample {
#include "loss_sample.c"
}
using namespace loss_file_ce;
using namespace loss_file_fkl;
using namespace loss_file_topk;
using namespace loss_file_sample;
