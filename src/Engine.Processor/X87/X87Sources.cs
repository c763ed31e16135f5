using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Engine.Processor;

/// <summary>A memory operand of x87 arithmetic.</summary>
internal unsafe interface IX87Source
{
    static abstract FloatValue Read(X86Processor cpu, DecodedInstruction* i);
}

internal readonly unsafe struct SingleSource : IX87Source
{
    public static FloatValue Read(X86Processor cpu, DecodedInstruction* i) => FloatValue.FromSingle(cpu.ReadOperand<uint>(i));
}

internal readonly unsafe struct DoubleSource : IX87Source
{
    public static FloatValue Read(X86Processor cpu, DecodedInstruction* i) => FloatValue.FromDouble(cpu.ReadOperand<ulong>(i));
}

internal readonly unsafe struct WordSource : IX87Source
{
    public static FloatValue Read(X86Processor cpu, DecodedInstruction* i) => SoftFloat.FromInteger(cpu.ReadOperand<short>(i));
}

internal readonly unsafe struct DwordSource : IX87Source
{
    public static FloatValue Read(X86Processor cpu, DecodedInstruction* i) => SoftFloat.FromInteger(cpu.ReadOperand<int>(i));
}

internal readonly unsafe struct QwordSource : IX87Source
{
    public static FloatValue Read(X86Processor cpu, DecodedInstruction* i) => SoftFloat.FromInteger(cpu.ReadOperand<long>(i));
}

/// <summary>b - a.</summary>
internal readonly struct FloatSubtractReversed : IFloatBinary
{
    public static bool ZeroIsExact => true;

    public static double Host(double a, double b) => b - a;

    public static float Host(float a, float b) => b - a;

    public static Vector128<double> Host(
        Vector128<double> a, Vector128<double> b) => b - a;

    public static Vector128<float> Host(
        Vector128<float> a, Vector128<float> b) => b - a;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Add(ref context, format, b, a.Negated());
}

/// <summary>b ÷ a.</summary>
internal readonly struct FloatDivideReversed : IFloatBinary
{
    public static bool ZeroIsExact => false;

    public static double Host(double a, double b) => b / a;

    public static float Host(float a, float b) => b / a;

    public static Vector128<double> Host(
        Vector128<double> a, Vector128<double> b) => b / a;

    public static Vector128<float> Host(
        Vector128<float> a, Vector128<float> b) => b / a;

    public static FloatValue Soft(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b) =>
        SoftFloat.Divide(ref context, format, b, a);
}
